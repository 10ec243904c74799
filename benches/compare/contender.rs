//! Who takes part.

use crate::generator::Address;
use crate::process::{Server, until};
use crate::stage::Stage;
use crate::{freeradius, gatewarden, generator, line};
use std::time::Duration;

/// How long a server may take until it answers: FreeRADIUS reads 100,000 users from a file.
const READY_LIMIT: Duration = Duration::from_secs(90);

/// Where a contender has its users and its sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contender {
    Null,
    FreeradiusFiles,
    FreeradiusPostgres,
    GatewardenPostgres,
    GatewardenSqlite,
}

impl Contender {
    pub fn name(self) -> &'static str {
        match self {
            Contender::Null => "null responder",
            Contender::FreeradiusFiles => "FreeRADIUS, files",
            Contender::FreeradiusPostgres => "FreeRADIUS, PostgreSQL",
            Contender::GatewardenPostgres => "Gatewarden, PostgreSQL",
            Contender::GatewardenSqlite => "Gatewarden, SQLite",
        }
    }

    /// Whether its answers carry Message-Authenticator.
    pub fn is_signed(self) -> bool {
        !matches!(
            self,
            Contender::FreeradiusFiles | Contender::FreeradiusPostgres
        )
    }

    pub fn is_ours(self) -> bool {
        matches!(
            self,
            Contender::GatewardenPostgres | Contender::GatewardenSqlite
        )
    }

    /// Starts it on the server's core and waits until it answers.
    pub fn start(self, stage: &mut Stage) -> Result<Running, String> {
        let address = Address(stage.port());
        let mut server = match self {
            Contender::Null => {
                let command = line![
                    stage.gatewarden_binary,
                    "load",
                    "--null",
                    address.auth(),
                    "--secret",
                    generator::SECRET
                ];
                stage.serve("null", &command)?
            }
            Contender::FreeradiusFiles => freeradius::start(stage, address, false)?,
            Contender::FreeradiusPostgres => freeradius::start(stage, address, true)?,
            Contender::GatewardenPostgres => gatewarden::start(stage, address, true)?,
            Contender::GatewardenSqlite => gatewarden::start(stage, address, false)?,
        };
        let ready = until(READY_LIMIT, || {
            if !server.is_running() {
                return Some(false);
            }
            // Gatewarden answers while it is still loading: what is measured is what it is like afterwards.
            let is_loaded = !self.is_ours() || stage.last_log_says("READY");
            (is_loaded && generator::is_alive(stage, address)).then_some(true)
        });
        match ready {
            Some(true) => Ok(Running {
                address,
                server,
                contender: self,
            }),
            _ => Err(format!(
                "{} does not get ready; its log: {}",
                self.name(),
                stage.log_of_last()
            )),
        }
    }
}

/// A contender that answers; ends with this value.
pub struct Running {
    pub address: Address,
    pub contender: Contender,
    pub server: Server,
}
