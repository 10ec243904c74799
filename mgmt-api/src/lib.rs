//! The operators' HTTP door. Today it answers one question, "are you well?"; the REST API is built on it next.
//!
//! It must **never** hold SQL: what it tells comes from the rooms or is handed to it.

use axum::{Json, Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use std::net::SocketAddr;
use std::sync::Arc;

kernel::config! {
    /// The HTTP door.
    pub struct HttpConfig in "http" {
        /// Where it listens: an address and a port, or "" for nowhere.
        listen: String = "127.0.0.1:8080".to_owned(),
    }
}

/// What the health page tells; the process that runs the doors implements it.
pub trait Health: Send + Sync + 'static {
    /// Whether requests are answered now.
    fn is_ready(&self) -> bool;
    /// More, by name: counters, sizes, ages. Nothing secret, nothing about a person.
    fn details(&self) -> serde_json::Value;
}

/// The door's routes: `GET /healthz` answers 200 with `{"status":"ok",…}`, or 503 with `{"status":"starting",…}`.
pub fn router(health: Arc<dyn Health>) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .with_state(health)
}

async fn healthz(State(health): State<Arc<dyn Health>>) -> impl IntoResponse {
    let ready = health.is_ready();
    let mut body = serde_json::json!({
        "status": if ready { "ok" } else { "starting" },
        "version": env!("CARGO_PKG_VERSION"),
    });
    if let (Some(body), serde_json::Value::Object(details)) =
        (body.as_object_mut(), health.details())
    {
        body.extend(details);
    }
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(body))
}

/// A door that is open; dropping it does not close it, [`HttpDoor::close`] does.
pub struct HttpDoor {
    /// Where it listens; the port is known even when 0 was asked for.
    pub address: SocketAddr,
    stop: tokio::sync::oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

impl HttpDoor {
    /// Opens the door.
    ///
    /// # Errors
    /// A sentence with the address and what the system says.
    pub async fn open(listen: &str, health: Arc<dyn Health>) -> Result<Self, String> {
        let listener = tokio::net::TcpListener::bind(listen)
            .await
            .map_err(|e| format!("cannot listen for HTTP on {listen}: {e}"))?;
        let address = listener
            .local_addr()
            .map_err(|e| format!("cannot listen for HTTP on {listen}: {e}"))?;
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let task = tokio::spawn(async move {
            let served = axum::serve(listener, router(health))
                .with_graceful_shutdown(async {
                    let _ = stopped.await;
                })
                .await;
            if let Err(e) = served {
                tracing::error!("the HTTP door closed: {e}");
            }
        });
        Ok(Self {
            address,
            stop,
            task,
        })
    }

    /// Answers what is open and closes.
    pub async fn close(self) {
        let _ = self.stop.send(());
        let _ = self.task.await;
    }
}
