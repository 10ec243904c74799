//! The portal's HTTP door (pages arrive with their issue).
