//! The operators' HTTP door. Today it tells how the server is, to people (`/healthz`), to whoever spreads load
//! (`/readyz`) and to Prometheus (`/metrics`); the REST API is built on it next.
//!
//! It must **never** hold SQL: what it tells comes from the rooms or is handed to it.

pub mod metrics;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use std::net::SocketAddr;
use std::sync::Arc;

kernel::config! {
    /// The HTTP door.
    pub struct HttpConfig in "http" {
        /// Where it listens: an address and a port, or "" for nowhere.
        listen: String = "127.0.0.1:8080".to_owned(),
    }
}

/// Something an operator should see to.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Concern {
    /// Its word, of a closed list.
    pub word: &'static str,
    /// What was seen.
    pub sentence: String,
    /// What to do.
    pub remedy: String,
}

/// What the health pages tell; the process that runs the doors implements it.
pub trait Health: Send + Sync + 'static {
    /// Why requests are not answered now; `None` when they are.
    fn waits_for(&self) -> Option<String>;
    /// What an operator should see to, the gravest first.
    fn concerns(&self) -> Vec<Concern>;
    /// More, by name: counters, sizes, ages. Nothing secret, nothing about a person.
    fn details(&self) -> serde_json::Value;
    /// The same as numbers.
    fn metrics(&self) -> Vec<metrics::Family>;
}

/// The door's routes:
///
/// - `GET /healthz`: 200 with a `status` of `ok`, or of `degraded`: logins are answered and something is wrong, `concerns`
///   says what and what to do. Whoever restarts what is not healthy must not restart a server because its database is
///   away. 503 with `starting` until it can answer.
/// - `GET /readyz`: 200 while logins are decided and reports are taken, else 503 with the reason.
/// - `GET /metrics`: everything as numbers, for Prometheus.
pub fn router(health: Arc<dyn Health>) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics_page))
        .with_state(health)
}

async fn healthz(State(health): State<Arc<dyn Health>>) -> impl IntoResponse {
    let concerns = health.concerns();
    let (code, status) = match (health.waits_for(), concerns.is_empty()) {
        (Some(_), _) => (StatusCode::SERVICE_UNAVAILABLE, "starting"),
        (None, true) => (StatusCode::OK, "ok"),
        (None, false) => (StatusCode::OK, "degraded"),
    };
    let mut body = serde_json::json!({
        "status": status,
        "version": env!("CARGO_PKG_VERSION"),
        "concerns": concerns,
    });
    if let (Some(body), serde_json::Value::Object(details)) =
        (body.as_object_mut(), health.details())
    {
        body.extend(details);
    }
    (code, Json(body))
}

async fn readyz(State(health): State<Arc<dyn Health>>) -> impl IntoResponse {
    let concerns = health.concerns();
    match health.waits_for() {
        None => (
            StatusCode::OK,
            Json(serde_json::json!({"ready": true, "concerns": concerns})),
        ),
        Some(reason) => (
            StatusCode::SERVICE_UNAVAILABLE,
            Json(serde_json::json!({"ready": false, "reason": reason, "concerns": concerns})),
        ),
    }
}

async fn metrics_page(State(health): State<Arc<dyn Health>>) -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, metrics::CONTENT_TYPE)],
        metrics::text(&health.metrics()),
    )
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
