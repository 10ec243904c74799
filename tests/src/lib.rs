//! Stories, batteries and conformance over the whole house.
