//! This room's ids.

kernel::define_id! {
    /// A person, whichever organisations hold something of theirs.
    PersonId
}

kernel::define_id! {
    /// A person in an organisation: what expiry, groups, devices and tokens hang on.
    MembershipId
}
