//! Tests of the client against real servers with their own TLS certificates.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::model::{Method, TenantId};

/// A server, and a client that trusts it.
struct Tls {
    server: Arc<rustls::ServerConfig>,
    sender: Sender,
}

fn tls(protocols: &[&str]) -> Tls {
    tls_of("127.0.0.1", protocols, &DeliveryConfig::default())
}

/// The server's certificate is for `name`.
fn tls_of(name: &str, protocols: &[&str], config: &DeliveryConfig) -> Tls {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let certificate = CertificateDer::from(made.cert.der().to_vec());
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let mut server = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    server.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    let mut client =
        rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    client.alpn_protocols = OFFERED.iter().map(|name| name.to_vec()).collect();
    let policy = AddressPolicy { loopback: true, allowed: Vec::new() };
    let sender = Sender::with_tls(policy, config, client);
    Tls { server: Arc::new(server), sender }
}

/// Responds with protocol, length and body of the request; the first `refused` connections are
/// closed before the TLS handshake.
async fn serve(server: Arc<rustls::ServerConfig>, refused: usize) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/hook", listener.local_addr().unwrap());
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if counted.fetch_add(1, Ordering::SeqCst) >= refused {
                tokio::spawn(answer(server.clone(), stream));
            }
        }
    });
    (url, connections)
}

async fn answer(server: Arc<rustls::ServerConfig>, stream: TcpStream) {
    let Ok(stream) = tokio_rustls::TlsAcceptor::from(server).accept(stream).await else { return };
    let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let echo = service_fn(|request: Request<Incoming>| async move {
        let length = request.headers().get("content-length").cloned();
        let version = format!("{:?}", request.version());
        let body = request.into_body().collect().await.unwrap().to_bytes();
        if &*body == b"hang" {
            std::future::pending::<()>().await;
        }
        let text = format!("{version} {length:?} {}", String::from_utf8_lossy(&body));
        Ok::<_, Infallible>(http::Response::new(Full::new(Bytes::from(text))))
    });
    let stream = TokioIo::new(stream);
    // Errors are ignored: the client closes the connection when it is done.
    if h2 {
        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let _ = server.serve_connection(stream, echo).await;
    } else {
        let _ = hyper::server::conn::http1::Builder::new().serve_connection(stream, echo).await;
    }
}

fn tenant(name: &str) -> TenantId {
    name.parse().unwrap()
}

fn outgoing(url: &str) -> Outgoing {
    Outgoing {
        tenant: tenant("a"),
        method: Method::Post,
        url: url.to_owned(),
        uri: None,
        headers: vec![("X-Name".to_owned(), "value".to_owned())],
        body: Some(Bytes::from_static(b"{\"n\":1}")),
        timeout_ms: 30_000,
    }
}

#[tokio::test]
async fn http_2_where_the_receiver_offers_it_over_one_connection() {
    let tls = tls(&["h2", "http/1.1"]);
    let (url, connections) = serve(tls.server, 0).await;
    for _ in 0..3 {
        let sent = tls.sender.send(&outgoing(&url)).await;
        assert_eq!(sent.answer().unwrap().body, r#"HTTP/2.0 Some("7") {"n":1}"#);
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
    let (sent, timing) = tls.sender.send_timed(&outgoing(&url)).await;
    assert!(sent.answer().unwrap().body.starts_with("HTTP/2.0") && timing.tls_us.is_some());
}

#[tokio::test]
async fn http_1_where_it_does_not() {
    let tls = tls(&["http/1.1"]);
    let (url, _) = serve(tls.server, 0).await;
    let sent = tls.sender.send(&outgoing(&url)).await;
    assert_eq!(sent.answer().unwrap().body, r#"HTTP/1.1 Some("7") {"n":1}"#);
}

#[tokio::test]
async fn a_connection_that_fails_quickly_is_tried_once_more_at_once() {
    let first = tls(&["h2"]);
    let (url, connections) = serve(first.server, 1).await;
    let sent = first.sender.send(&outgoing(&url)).await;
    assert_eq!(sent.answer().unwrap().body, r#"HTTP/2.0 Some("7") {"n":1}"#);
    assert_eq!(connections.load(Ordering::SeqCst), 2);

    let never = tls(&["h2"]);
    let (url, connections) = serve(never.server, usize::MAX).await;
    let sent = never.sender.send(&outgoing(&url)).await;
    assert!(matches!(sent.error, Some(SendError::ConnectTwice(_))), "{sent:?}");
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn an_address_that_is_not_permitted_is_not_tried_again() {
    let tls = tls(&["h2"]);
    let (url, connections) = serve(tls.server, 0).await;
    let policy = AddressPolicy::default();
    let sender = Sender::new(policy, &DeliveryConfig::default()).unwrap();
    for url in [url.clone(), url.replace("127.0.0.1", "localhost")] {
        let sent = sender.send(&outgoing(&url)).await;
        assert!(matches!(sent.error, Some(SendError::Refused(_))), "{sent:?}");
        let again = sender.send(&outgoing(&url)).await;
        assert_eq!(again.error, sent.error, "a name that is remembered is looked at as well");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn tenants_share_no_connection_over_http_2_either() {
    let tls = tls(&["h2"]);
    let (url, connections) = serve(tls.server, 0).await;
    for _ in 0..2 {
        for tenant in ["a", "b"].map(tenant) {
            let sent = tls.sender.send(&Outgoing { tenant, ..outgoing(&url) }).await;
            assert!(sent.answer().unwrap().body.starts_with("HTTP/2.0"));
        }
    }
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn requests_at_the_same_time_share_a_connection_over_http_2() {
    let tls = tls(&["h2"]);
    let (url, connections) = serve(tls.server, 0).await;
    tls.sender.send(&outgoing(&url)).await.answer().unwrap();
    let outgoing = outgoing(&url);
    let all = (0..20).map(|_| tls.sender.send(&outgoing));
    let all = futures_util::future::join_all(all).await;
    assert!(all.iter().all(|sent| sent.answer().is_ok()));
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_request_that_runs_out_of_time_takes_its_connection_with_it() {
    for protocol in ["h2", "http/1.1"] {
        let tls = tls(&[protocol]);
        let (url, connections) = serve(tls.server, 0).await;
        tls.sender.send(&outgoing(&url)).await.answer().unwrap();
        let slow =
            Outgoing { body: Some(Bytes::from_static(b"hang")), timeout_ms: 50, ..outgoing(&url) };
        let sent = tls.sender.send(&slow).await;
        assert_eq!(sent.error, Some(SendError::TimedOut(50)), "{protocol}");
        tls.sender.send(&outgoing(&url)).await.answer().unwrap();
        assert_eq!(connections.load(Ordering::SeqCst), 2, "{protocol}");
    }
}

#[tokio::test]
async fn the_name_of_the_url_is_what_the_certificate_must_have() {
    let folder = tempfile::tempdir().unwrap();
    let hosts_file = folder.path().join("hosts");
    std::fs::write(&hosts_file, "127.0.0.1 right.test wrong.test\n").unwrap();
    let config = DeliveryConfig { hosts_file, ..DeliveryConfig::default() };
    let tls = tls_of("right.test", &["h2"], &config);
    let (url, _) = serve(tls.server, 0).await;
    let sent = tls.sender.send(&outgoing(&url.replace("127.0.0.1", "right.test"))).await;
    assert!(sent.answer().unwrap().body.starts_with("HTTP/2.0"), "{sent:?}");
    for host in ["wrong.test", "127.0.0.1"] {
        let sent = tls.sender.send(&outgoing(&url.replace("127.0.0.1", host))).await;
        let error = sent.error.unwrap().to_string();
        assert!(error.contains("invalid peer certificate"), "{host}: {error}");
    }
}
