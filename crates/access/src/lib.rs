//! Access: who may ask (NASes), what is known (the Register), and what is answered (the decision).
//!
//! Read `question` → `facts` → `decide`: three files that hold the whole of an authentication. `register` is where
//! facts come from at wire speed; the other files are the rows behind it. This room must **never** open a socket or
//! parse a packet from the wire: it is handed a question and gives back a decision.

pub mod activity;
pub mod admit;
pub mod condition;
pub mod decide;
pub mod dynauth;
pub mod facts;
pub mod family;
pub mod group;
pub mod limit;
pub mod limiter;
pub mod lock;
pub mod nas;
pub mod nas_match;
pub mod network;
pub mod observation;
pub mod past;
pub mod plan;
pub mod proof_memory;
pub mod question;
pub mod register;
pub mod rule;
pub mod word;

/// Every statement of this room for one engine, so that a test can prepare them all.
pub fn statements(engine: kernel::Engine) -> Vec<(&'static str, &'static str)> {
    let many = [admit::PLACES, rule::CHECKS, rule::REPLIES];
    [
        &many.map(|many| many.statements(engine)).concat()[..],
        nas::STATEMENTS,
        group::STATEMENTS,
        plan::STATEMENTS,
        rule::STATEMENTS,
        admit::STATEMENTS,
        lock::STATEMENTS,
        observation::STATEMENTS,
    ]
    .concat()
}
