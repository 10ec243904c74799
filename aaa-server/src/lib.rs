//! The RADIUS door: NASes ask over UDP and are answered; a session can be ended from here.
mod delay;
mod pool;
mod responder;
mod socket;
