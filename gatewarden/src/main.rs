//! One binary that lets people and devices onto networks. Everything is in the library beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    gatewarden::run()
}
