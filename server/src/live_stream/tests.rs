use super::*;
use crate::model::{Attempt, Delivery, DeliveryId, EventKey, Millis, Response, SentRequest, State};

const LIMITS: Limits = Limits {
    listeners_max: 4,
    listeners_per_tenant_max: 2,
    bytes_max: 100_000,
    bytes_per_tenant_max: 50_000,
    body_bytes_max: 10_000,
};

fn attempt(body: &str) -> Attempt {
    let headers = || [("x".to_owned(), "y".to_owned())].into_iter().collect();
    Attempt {
        number: 1,
        revision: 1,
        started_at: Millis(0),
        took_ms: 1,
        request: Some(SentRequest {
            method: "POST".to_owned(),
            url: "http://x/".to_owned(),
            headers: headers(),
            body: Some(body.to_owned()),
        }),
        response: Some(Response {
            status: 200,
            headers: headers(),
            body: "ok".to_owned(),
            truncated: false,
        }),
        error: None,
        unresolved: Vec::new(),
    }
}

fn message_with(number: u32, webhook_id: WebhookId, attempt: Option<&Attempt>) -> Message {
    let now = Millis(1_800_000_000_000);
    let event = EventKey {
        tenant: "a".parse().unwrap(),
        source: String::new(),
        id: number.to_string().parse().unwrap(),
    };
    let delivery = Delivery {
        id: DeliveryId::new(now),
        event,
        webhook_id,
        state: State::Delivered,
        reason: None,
        stage: None,
        attempts: 1,
        next_attempt_at: None,
        created_at: now,
        subject: None,
        order_key: None,
    };
    let event_type = "a.b".parse().unwrap();
    Message::new(delivery, event_type, "w".to_owned(), attempt, LIMITS.body_bytes_max)
}

fn message(number: u32) -> Message {
    message_with(number, WebhookId::new(Millis(0)), None)
}

fn large(number: u32) -> Message {
    message_with(number, WebhookId::new(Millis(0)), Some(&attempt(&"x".repeat(9_000))))
}

async fn heard(listener: &mut Listener, count: usize) -> Vec<String> {
    let mut heard = Vec::new();
    for _ in 0..count {
        heard.push(match listener.hear().await {
            Heard::Message(queued) => queued.message.delivery.event.id.to_string(),
            Heard::Lagged(count) => format!("lost {count}"),
            Heard::End => "end".to_owned(),
        });
    }
    heard
}

fn live() -> (Arc<Live>, Uuid, Uuid) {
    (Arc::new(Live::new(LIMITS)), Uuid::from_u128(1), Uuid::from_u128(2))
}

#[tokio::test]
async fn a_tenant_hears_its_own_and_ends_with_the_server() {
    let (live, a, b) = live();
    let (w, kind) = (WebhookId::new(Millis(0)), "a.b".parse().unwrap());
    assert!(!live.is_wanted(a, w, &kind));
    live.publish(a, message(0));
    let mut listener = live.listen(a, Filter::default()).unwrap();
    assert!(live.is_wanted(a, w, &kind) && !live.is_wanted(b, w, &kind));
    live.publish(b, message(1));
    live.publish(a, message(2));
    live.close();
    assert_eq!(heard(&mut listener, 2).await, ["2", "end"]);
    assert_eq!(live.listen(a, Filter::default()).err(), Some(NoListener::Stopping));
}

#[tokio::test]
async fn listeners_are_counted_for_each_tenant_and_in_all() {
    let (live, a, b) = live();
    let listen = |tenant| live.listen(tenant, Filter::default());
    let of_a = (listen(a).unwrap(), listen(a).unwrap());
    assert_eq!(listen(a).err(), Some(NoListener::TooMany(2)));
    let of_b = (listen(b).unwrap(), listen(b).unwrap());
    let c = Uuid::from_u128(3);
    assert_eq!(listen(c).err(), Some(NoListener::TooManyInAll(4)));
    drop(of_a);
    assert!(listen(c).is_ok());
    drop(of_b);
}

#[tokio::test]
async fn only_what_a_listener_wants_waits_for_it() {
    let (live, a, _) = live();
    let (w, kind) = (WebhookId::new(Millis(7)), "a.b".parse().unwrap());
    let filter = Filter { webhook_id: Some(w), event_type: Some("a.*".parse().unwrap()) };
    let mut listener = live.listen(a, filter).unwrap();
    assert!(!live.is_wanted(a, WebhookId::new(Millis(8)), &kind));
    live.publish(a, message(1));
    assert_eq!(live.bytes.load(Ordering::Relaxed), 0);
    live.publish(a, message_with(2, w, None));
    assert_eq!(heard(&mut listener, 1).await, ["2"]);
}

#[tokio::test]
async fn who_is_slow_is_told_what_is_lost_and_ends() {
    let (live, a, _) = live();
    let mut listener = live.listen(a, Filter::default()).unwrap();
    let count = u32::try_from(QUEUE_MAX).unwrap();
    for number in 0..count + 7 {
        live.publish(a, message_with(number, WebhookId::new(Millis(0)), None));
        if live.bytes.load(Ordering::Relaxed) == 0 {
            break;
        }
    }
    // By now it has lost everything that waited.
    live.publish(a, message(9_999));
    let Heard::Lagged(lost) = listener.hear().await else { panic!("a message") };
    assert!(lost > 1, "{lost}");
    assert!(matches!(listener.hear().await, Heard::Lagged(_)), "it hears no more");
    assert_eq!(live.bytes.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn bytes_are_bounded_and_the_slowest_listener_ends() {
    let (live, a, _) = live();
    let (mut slow, mut quick) =
        (live.listen(a, Filter::default()).unwrap(), live.listen(a, Filter::default()).unwrap());
    for number in 0..20 {
        live.publish(a, large(number));
        assert!(live.bytes.load(Ordering::Relaxed) <= LIMITS.bytes_per_tenant_max);
        assert_eq!(heard(&mut quick, 1).await, [number.to_string()]);
    }
    let Heard::Lagged(lost) = slow.hear().await else { panic!("a message") };
    assert_eq!(lost, 20);
}

#[tokio::test]
async fn all_tenants_together_are_bounded_and_the_largest_pays() {
    let live = Arc::new(Live::new(Limits { bytes_max: 60_000, ..LIMITS }));
    let (a, b) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let mut hog = live.listen(a, Filter::default()).unwrap();
    let mut modest = live.listen(b, Filter::default()).unwrap();
    for number in 0..5 {
        live.publish(a, large(number));
    }
    live.publish(b, large(100));
    live.publish(b, large(101));
    assert!(live.bytes.load(Ordering::Relaxed) <= 60_000);
    assert_eq!(heard(&mut hog, 1).await, ["lost 5"]);
    assert_eq!(heard(&mut modest, 2).await, ["100", "101"]);
}

#[test]
fn long_bodies_are_left_out() {
    let long = attempt(&"x".repeat(LIMITS.body_bytes_max + 1));
    let told = message_with(1, WebhookId::new(Millis(0)), Some(&long));
    assert_eq!(told.left_out, ["request.body"]);
    let sent = told.attempt.unwrap();
    assert_eq!((sent.request.unwrap().body, sent.response.unwrap().body), (None, "ok".to_owned()));
    let mut odd = attempt("short");
    odd.request.as_mut().unwrap().url = "x".repeat(3 * LIMITS.body_bytes_max);
    let told = message_with(1, WebhookId::new(Millis(0)), Some(&odd));
    assert_eq!((told.attempt, told.left_out), (None, vec!["attempt"]));
    let short = attempt(&"x".repeat(LIMITS.body_bytes_max));
    let told = message_with(1, WebhookId::new(Millis(0)), Some(&short));
    assert_eq!((told.attempt, told.left_out.len()), (Some(short), 0));
}
