//! Tests of the client against real servers with their own TLS certificates.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// A server for 127.0.0.1, and a client that trusts it.
struct Tls {
    server: Arc<rustls::ServerConfig>,
    sender: Sender,
}

fn tls(protocols: &[&str]) -> Tls {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
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
    let sender = Sender::with_tls(policy, &DeliveryConfig::default(), client);
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

fn outgoing(url: &str) -> Outgoing {
    Outgoing {
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

#[test]
fn values_of_one_name_are_one_field_as_far_as_they_fit() {
    let mut headers = http::HeaderMap::new();
    for (name, value) in [("x-b", "1"), ("x-a", "2"), ("x-b", "3"), ("x-long", "0123456789")] {
        let value = http::HeaderValue::from_static(value);
        headers.append(http::HeaderName::from_static(name), value);
    }
    let kept = fields(&headers, 20);
    assert_eq!((kept.get("x-b"), kept.get("x-a")), (Some("1, 3"), Some("2")));
    assert_eq!(kept.get("x-long"), None, "x-b twice and x-a take 12 of 20 bytes");
}
