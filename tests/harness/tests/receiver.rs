//! Tests of the receiver itself.

use antar_harness::{Call, Receiver, Reply};
use serde_json::json;

#[tokio::test]
async fn requests_are_recorded_as_they_came() {
    let receiver = Receiver::start().await;
    receiver.reply_with(|request, nth| {
        let body = format!("{} {nth}", request.path());
        Reply::status(if nth == 1 { 500 } else { 201 }).header("x-nth", &nth.to_string()).body(body)
    });
    let call =
        || Call::new("PUT", &receiver.url("/a?b=c")).header("X-One", "1").json(&json!({"n": 1}));
    let (first, second) = (call().send().await, call().send().await);
    assert_eq!((first.status, second.status), (500, 201));
    assert_eq!(second.text(), "/a 2");
    assert_eq!(second.headers["x-nth"], "2");
    let request = receiver.wait(2).await.remove(0);
    assert_eq!((request.method.as_str(), request.target.as_str()), ("PUT", "/a?b=c"));
    assert_eq!((request.header("X-ONE"), request.text().as_str()), (Some("1"), r#"{"n":1}"#));
    assert_eq!(receiver.at("/a").len(), 2);
}

#[tokio::test]
async fn a_closed_connection_is_no_answer() {
    let receiver = Receiver::start().await;
    receiver.reply(Reply::close());
    assert!(Call::new("GET", &receiver.url("/")).try_send().await.is_err());
    assert!(!receiver.wait(1).await.is_empty());
}

#[tokio::test]
#[should_panic(expected = "nobody looked at")]
async fn a_request_that_nobody_looks_at_fails_the_test() {
    let receiver = Receiver::start().await;
    Call::new("GET", &receiver.url("/")).send().await.expect(200);
}

#[tokio::test]
async fn unless_it_is_told_to_be_ignored() {
    let receiver = Receiver::start().await.ignore_rest();
    Call::new("GET", &receiver.url("/")).send().await.expect(200);
}
