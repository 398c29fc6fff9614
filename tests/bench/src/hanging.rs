//! Receivers that take a request and never answer.

use tokio::net::TcpListener;

use crate::wire::Wire;

/// Listens for all of them; each webhook has a path of its own.
pub(crate) async fn start() -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut wire) = Wire::new(stream) else { continue };
            tokio::spawn(async move { while let Ok(Some(_)) = wire.read().await {} });
        }
    });
    Ok(address)
}
