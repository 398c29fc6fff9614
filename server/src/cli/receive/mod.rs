//! `antar receive`: a receiver for trying out webhooks.

mod verify;

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use actix_web::http::StatusCode;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use antar_json::Document;
use anyhow::{Context, anyhow};
use serde_json::{Map, Value as Json, json};

use crate::cli::terminal::pretty::pretty;
use crate::cli::terminal::screen::{BOLD, DIM, GREEN, RED, Screen, YELLOW};
use verify::{HmacHeader, Known, Verdict, verify};

/// Bytes of a body at most.
const BODY_BYTES_MAX: usize = 64 << 20;

/// Receives webhooks on this machine, prints them, and verifies who sent them.
///
/// Whatever comes is answered with --status. With --secret it verifies Standard Webhooks (v1 and
/// v1a), secrets sent as they are, and with --hmac plain HMACs (SHA-1, SHA-256 or SHA-512, hex or
/// base64) over the body.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Address and port to listen on.
    #[arg(long, default_value = "127.0.0.1:8099", value_name = "ADDRESS:PORT")]
    listen: String,
    /// A webhook's secret (whsec_… or any text) or public key (whpk_…), perhaps with a name. May be
    /// repeated.
    #[arg(long, value_name = "SECRET|NAME=SECRET", value_parser = verify::known)]
    secret: Vec<Known>,
    /// A header with an HMAC of the body, and what stands before it there. May be repeated.
    #[arg(long, value_name = "HEADER[:PREFIX]", value_parser = verify::hmac_header)]
    hmac: Vec<HmacHeader>,
    /// What requests are answered with.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(200..=599))]
    status: u16,
}

const EXAMPLES: &str = "\
Examples:
  antar receive --secret whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD
  antar receive --secret crm=s3cret --hmac X-Signature:sha256=
  antar receive --status 503
      Every request is tried again, by the webhook's schedule.";

struct Receiver {
    screen: Screen,
    secrets: Vec<Known>,
    hmacs: Vec<HmacHeader>,
    status: StatusCode,
    received: AtomicU64,
}

pub(super) async fn run(arguments: Arguments, screen: Screen) -> anyhow::Result<()> {
    let listener = TcpListener::bind(&arguments.listen).map_err(|error| {
        anyhow!("can't listen on {}: {error}; choose another with --listen", arguments.listen)
    })?;
    let url = format!("http://{}", listener.local_addr()?);
    let receiver = web::Data::from(Arc::new(Receiver {
        screen,
        secrets: arguments.secret,
        hmacs: arguments.hmac,
        status: StatusCode::from_u16(arguments.status).context("--status")?,
        received: AtomicU64::new(0),
    }));
    let server = HttpServer::new(move || {
        App::new()
            .app_data(receiver.clone())
            .app_data(web::PayloadConfig::new(BODY_BYTES_MAX))
            .default_service(web::to(receive))
    });
    let server = server.workers(1).listen(listener)?.run();
    if screen.is_text() {
        screen.line(&format!("receives on {url}; ctrl-c ends it"));
    } else {
        screen.json(&json!({"kind": "listening", "url": url}));
    }
    server.await.context("the receiver ended")
}

async fn receive(
    request: HttpRequest,
    body: web::Bytes,
    receiver: web::Data<Receiver>,
) -> HttpResponse {
    let headers: Vec<(String, String)> = request
        .headers()
        .iter()
        .map(|(name, value)| {
            (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        })
        .collect();
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let verdict = verify(&headers, &body, &receiver.secrets, &receiver.hmacs, now_s);
    let number = receiver.received.fetch_add(1, Ordering::Relaxed) + 1;
    let path = request.uri().path_and_query().map_or_else(String::new, ToString::to_string);
    receiver.show(number, request.method().as_str(), &path, &headers, &body, &verdict);
    HttpResponse::build(receiver.status).finish()
}

impl Receiver {
    fn show(
        &self,
        number: u64,
        method: &str,
        path: &str,
        headers: &[(String, String)],
        body: &[u8],
        verdict: &Verdict,
    ) {
        let document = Document::parse(body, antar_json::Limits::default()).ok();
        let screen = self.screen;
        if !screen.is_text() {
            let headers: Map<_, _> =
                headers.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
            let text = String::from_utf8_lossy(body);
            let (verified, not_verified) = match verdict {
                Verdict::Verified(how) => (Json::from(how.as_str()), Json::Null),
                Verdict::NotVerified(why) => (Json::Null, Json::from(why.as_str())),
                Verdict::NoSignature => (Json::Null, Json::Null),
            };
            return screen.json(&json!({"kind": "request", "number": number, "method": method, "path": path,
                "headers": headers, "body": text, "verified": verified, "not_verified": not_verified,
                "answered": self.status.as_u16()}));
        }
        // Written at once, so that concurrent requests do not mix.
        let mut lines = vec![
            String::new(),
            format!("#{number} {}", screen.paint(BOLD, &format!("{method} {path}"))),
        ];
        lines.extend(
            headers.iter().map(|(name, value)| {
                format!("  {} {value}", screen.paint(DIM, &format!("{name}:")))
            }),
        );
        let text = document.map_or_else(
            || String::from_utf8_lossy(body).into_owned(),
            |document| pretty(&document),
        );
        lines.extend(text.lines().map(|line| format!("  {line}")));
        lines.push(match verdict {
            Verdict::Verified(how) => format!("  {} {how}", screen.paint(GREEN, "verified:")),
            Verdict::NotVerified(why) => format!("  {} {why}", screen.paint(RED, "not verified:")),
            Verdict::NoSignature => format!("  {}", screen.paint(YELLOW, "no signature")),
        });
        lines.push(screen.paint(DIM, &format!("  answered {}", self.status.as_u16())));
        screen.line(&lines.join("\n"));
    }
}
