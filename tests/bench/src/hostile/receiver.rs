//! The attacker's own receivers: they hang, answer byte by byte, answer without end, or close.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Paths, one for each way to hurt a client.
pub(super) const PATHS: &[&str] =
    &["hang", "trickle", "head", "flood", "slam", "later", "redirect"];

/// `127.0.0.1:PORT`
pub(super) async fn start() -> std::io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    Ok(address)
}

/// Reads the beginning of a request and answers as its path says, until the client closes.
async fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    let mut buffer = [0; 4 << 10];
    let count = stream.read(&mut buffer).await?;
    let head = String::from_utf8_lossy(&buffer[..count]).into_owned();
    let path = head.split(['/', ' ', '?']).nth(2).unwrap_or_default();
    match path {
        "hang" => std::future::pending().await,
        "slam" => stream.set_zero_linger(),
        "head" => endless(stream, b"HTTP/1.1 200 ok\r\n", b"x-more: and more\r\n", Duration::ZERO).await,
        "flood" => {
            let head = b"HTTP/1.1 500 no\r\ncontent-length: 99999999999\r\n\r\n";
            endless(stream, head, &[b'x'; 16 << 10], Duration::ZERO).await
        }
        "trickle" => {
            let head = b"HTTP/1.1 200 ok\r\ncontent-length: 1000000\r\n\r\n";
            endless(stream, head, b".", Duration::from_millis(200)).await
        }
        "later" => stream.write_all(b"HTTP/1.1 429 no\r\nretry-after: 99999999999999999999\r\ncontent-length: 0\r\n\r\n").await,
        _ => stream.write_all(b"HTTP/1.1 302 no\r\nlocation: http://127.0.0.1/healthz\r\ncontent-length: 0\r\n\r\n").await,
    }
}

async fn endless(
    mut stream: TcpStream,
    head: &[u8],
    part: &[u8],
    pause: Duration,
) -> std::io::Result<()> {
    stream.write_all(head).await?;
    loop {
        stream.write_all(part).await?;
        tokio::time::sleep(pause).await;
    }
}
