//! The operators' HTTP door.
