//! The RADIUS door: sockets, Responder, Disconnect out.
