//! One binary that lets people and devices onto networks.
fn main() {}
