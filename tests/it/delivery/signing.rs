//! Signatures, verified by code that shares nothing with the signer.

use antar_harness::verify::{
    self, assert_standard_v1, assert_standard_v1a, hex, hmac_sha1, hmac_sha512,
};
use antar_harness::{Receiver, Reply, Request, TestServer, on_both_databases};
use serde_json::json;

on_both_databases! {
    async fn the_official_library_verifies_what_is_sent(server: TestServer) {
        let receiver = Receiver::start().await;
        let webhook = server
            .api
            .create_webhook(&json!({"name": "w", "url": receiver.url("/w"), "event_types": ["*"]}))
            .await;
        assert!(webhook.secret.starts_with("whsec_"), "{}", webhook.secret);
        let id = server.api.send(&json!({"type": "user.created", "data": {"name": "Jørgen \"x\" \u{2028}"}})).await;
        let request = receiver.wait(1).await.remove(0);
        assert_eq!(request.header("webhook-id"), Some(id.as_str()));
        assert_standard_v1(&request, &webhook.secret);
        standardwebhooks::Webhook::new(&webhook.secret)
            .unwrap()
            .verify(&request.body, &headers(&request))
            .unwrap();
    }

    /// The vector of the Standard Webhooks libraries, but for the time, which is the server's.
    async fn a_secret_of_ones_own_signs_as_the_libraries_do(server: TestServer) {
        let receiver = Receiver::start().await;
        let secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
        server
            .api
            .create_webhook(&json!({
                "name": "w", "url": receiver.url("/w"), "event_types": ["*"], "secret": secret,
                "body": r#"{"email":"{{data.email}}","username":"{{data.username}}"}"#,
            }))
            .await;
        let id = "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk";
        let data = json!({"email": "test@example.com", "username": "test_user"});
        server.api.send(&json!({"type": "user.created", "id": id, "data": data})).await;
        let request = receiver.wait(1).await.remove(0);
        assert_eq!(request.text(), r#"{"email":"test@example.com","username":"test_user"}"#);
        let timestamp = request.header("webhook-timestamp").unwrap();
        let wanted = verify::standard_v1(secret, id, timestamp, &request.body);
        assert_eq!(request.header("webhook-signature"), Some(wanted.as_str()));
    }

    async fn ed25519_verifies_with_the_public_key_that_is_shown(server: TestServer) {
        let receiver = Receiver::start().await;
        let webhook = server
            .api
            .create_webhook(&json!({
                "name": "w", "url": receiver.url("/w"), "event_types": ["*"],
                "signers": [{"kind": "standard", "version": "v1a"}],
            }))
            .await;
        server.api.send(&json!({"type": "a.b", "data": {"n": 1}})).await;
        let request = receiver.wait(1).await.remove(0);
        let shown = server.api.get(&format!("webhooks/{}", webhook.id)).await.expect(200).json();
        assert_standard_v1a(&request, shown["public_key"].as_str().expect("the public key is shown"));
    }

    async fn several_signers_at_once_in_their_own_headers(server: TestServer) {
        let receiver = Receiver::start().await;
        let webhook = server
            .api
            .create_webhook(&json!({
                "name": "w", "url": receiver.url("/w"), "event_types": ["*"], "secret": "a secret as text",
                "signers": [
                    {"kind": "hmac", "header": "X-Sha1", "algorithm": "sha1", "prefix": "sha1="},
                    {"kind": "hmac", "header": "X-Mixed", "algorithm": "sha512", "over": "{id}.{delivery_id}.{body}"},
                    {"kind": "secret", "header": "X-Secret-Key"},
                    {"kind": "basic", "username": "antar"},
                ],
            }))
            .await;
        let event_id = server.api.send(&json!({"type": "a.b", "data": {"n": 1}})).await;
        let request = receiver.wait(1).await.remove(0);
        let delivery = server.api.delivery_in("delivered", &format!("event_id={event_id}")).await;
        let key = webhook.secret.as_bytes();
        let sha1 = format!("sha1={}", hex(&hmac_sha1(key, &request.body)));
        assert_eq!(request.header("x-sha1"), Some(sha1.as_str()));
        let mixed = [format!("{event_id}.{}.", delivery.id).as_bytes(), &request.body].concat();
        assert_eq!(request.header("x-mixed"), Some(hex(&hmac_sha512(key, &mixed)).as_str()));
        assert_eq!(request.header("x-secret-key"), Some("a secret as text"));
        // printf 'antar:a secret as text' | base64
        assert_eq!(request.header("authorization"), Some("Basic YW50YXI6YSBzZWNyZXQgYXMgdGV4dA=="));
    }

    async fn after_a_rotation_old_and_new_secret_both_verify(server: TestServer) {
        let receiver = Receiver::start().await;
        let webhook = server
            .api
            .create_webhook(&json!({"name": "w", "url": receiver.url("/w"), "event_types": ["*"]}))
            .await;
        let path = format!("webhooks/{}/secret/rotate", webhook.id);
        let rotated = server.api.post(&path, &json!({})).await.expect(200).json();
        let new = rotated["secret"].as_str().unwrap();
        assert_ne!(new, webhook.secret);
        server.api.send(&json!({"type": "a.b", "data": {}})).await;
        let request = receiver.wait(1).await.remove(0);
        assert_standard_v1(&request, &webhook.secret);
        assert_standard_v1(&request, new);
    }

    async fn a_retry_is_signed_anew_over_the_same_bytes(server: TestServer) {
        let receiver = Receiver::start().await;
        receiver.reply_with(|_, nth| Reply::status(if nth == 1 { 503 } else { 200 }));
        let webhook = server
            .api
            .create_webhook(&json!({
                "name": "w", "url": receiver.url("/w"), "event_types": ["*"],
                "retry": {"schedule_s": [1], "attempts_max": 2, "jitter": 0},
            }))
            .await;
        server.api.send(&json!({"type": "a.b", "data": {"text": "\u{e9}"}})).await;
        let requests = receiver.wait(2).await;
        assert_eq!(requests[0].body, requests[1].body);
        assert_eq!(requests[0].header("webhook-id"), requests[1].header("webhook-id"));
        for request in &requests {
            assert_standard_v1(request, &webhook.secret);
        }
    }
}

fn headers(request: &Request) -> http::HeaderMap {
    let pairs = request.headers.iter();
    pairs
        .map(|(name, value)| (name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap()))
        .collect()
}
