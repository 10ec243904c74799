//! NASes, groups, the Register and the decision.
