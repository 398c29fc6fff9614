//! The round: posts events, shows the requests that arrive, and explains events that led to none.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::api::Api;
use super::receiver::{FLAKY_PATH, Received, Receiver};
use super::server::Server;
use super::show::Show;

/// How long everything may take to arrive.
const ARRIVAL_S_MAX: u64 = 60;
const HUBSPOT_PATH: &str = "/hubspot/";
const MISSED_PATH: &str = "/missed";

/// A posted event.
struct Posted {
    tenant: String,
    id: String,
    event_type: String,
}

/// Runs the round and returns everything that went wrong.
pub(crate) fn run(
    root: &Path,
    api: &Api,
    receiver: &Receiver,
    tenants: &[String],
    show: Show,
) -> Result<Vec<String>> {
    show.section("Posting the platforms' example events");
    let posted = post_all(root, api, tenants, show)?;
    settle(api, tenants)?;

    let mut complaints = Vec::new();
    show.section("Who did not want what, and why");
    explain(api, &posted, show)?;

    show.section("A retry after a 500, with the same bytes");
    check(retry(receiver, show), show, &mut complaints);
    show.section("An upsert for a contact without a phone number");
    check(upsert(receiver, show), show, &mut complaints);
    show.section("An event missed by a disabled webhook, replayed");
    check(replay(api, receiver, tenants, show), show, &mut complaints);

    show.section("A call from outside becomes an event");
    check(call_in(api, receiver, tenants, show), show, &mut complaints);

    settle(api, tenants)?;
    show.section("The account");
    complaints.extend(account(api, receiver, tenants, show)?);
    Ok(complaints)
}

/// Result of `--once`.
pub(crate) fn verdict(complaints: &[String], show: Show) -> Result<()> {
    if complaints.is_empty() {
        show.good("everything arrived");
        return Ok(());
    }
    bail!("not everything is as it should be:\n  {}", complaints.join("\n  "))
}

fn check(result: Result<String>, show: Show, complaints: &mut Vec<String>) {
    match result {
        Ok(text) => show.good(&text),
        Err(error) => complaints.push(format!("{error:#}")),
    }
}

/// Posts `events/PLATFORM.json` to the tenant `PLATFORM-demo`, each file as one array.
fn post_all(root: &Path, api: &Api, tenants: &[String], show: Show) -> Result<Vec<Posted>> {
    let mut posted = Vec::new();
    for tenant in tenants {
        let platform = tenant.strip_suffix("-demo").unwrap_or(tenant);
        let file = root.join(format!("examples/manifests/events/{platform}.json"));
        let text = std::fs::read(&file).with_context(|| file.display().to_string())?;
        let events: Vec<Value> = serde_json::from_slice(&text)?;
        let path = format!("/v1/tenants/{tenant}/events");
        let answer = api.call("POST", &path, "application/json", text)?;
        let results = results(&answer);
        let text =
            format!("{} events to {tenant}, {} deliveries", results.len(), deliveries(results));
        show.fact("posted", &text, answer.clone());
        for (event, result) in events.iter().zip(results) {
            let id = result["id"].as_str().with_context(|| format!("{tenant}: {result}"))?;
            let event_type = event["type"].as_str().unwrap_or_default();
            posted.push(Posted {
                tenant: tenant.clone(),
                id: id.to_owned(),
                event_type: event_type.to_owned(),
            });
        }
    }
    Ok(posted)
}

/// The results of an array, in order.
fn results(answer: &Value) -> &[Value] {
    answer.as_array().map_or(&[], Vec::as_slice)
}

fn deliveries(results: &[Value]) -> u64 {
    results.iter().filter_map(|result| result["deliveries"].as_u64()).sum()
}

/// Waits until no delivery is pending or in flight.
fn settle(api: &Api, tenants: &[String]) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(ARRIVAL_S_MAX);
    for tenant in tenants {
        for state in ["in_flight", "pending"] {
            let path = format!("/v1/tenants/{tenant}/deliveries?state={state}");
            while !api.list(&path)?.is_empty() {
                if Instant::now() > end {
                    return Ok(()); // The account will name what is still on its way.
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }
    Ok(())
}

/// Prints one line for each webhook and reason, with the event types that were not delivered for
/// it.
fn explain(api: &Api, posted: &[Posted], show: Show) -> Result<()> {
    let mut lines: BTreeMap<(String, String), (Vec<&str>, Value)> = BTreeMap::new();
    for event in posted {
        for row in api.list(&format!("/v1/tenants/{}/events/{}/explain", event.tenant, event.id))? {
            let outcome = row["outcome"].as_str().unwrap_or_default();
            if matches!(outcome, "delivered" | "pending" | "in_flight") {
                continue;
            }
            let webhook = format!("{}/{}", event.tenant, row["name"].as_str().unwrap_or_default());
            let why = if row["detail"]["part"] == "event_types" {
                format!("{outcome}: it subscribes to {}", plain(&row["detail"]["wanted"]))
            } else {
                format!("{outcome} at {}: {}", plain(&row["stage"]), plain(&row["reason"]))
            };
            let entry = lines.entry((webhook, why)).or_insert_with(|| (Vec::new(), row.clone()));
            entry.0.push(&event.event_type);
        }
    }
    for ((webhook, why), (types, row)) in lines {
        show.fact("unwanted", &format!("{webhook}: {}\n  {why}", types.join(", ")), row);
    }
    Ok(())
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn retry(receiver: &Receiver, show: Show) -> Result<String> {
    let calls: Vec<Received> =
        receiver.received().into_iter().filter(|r| r.path == FLAKY_PATH).collect();
    let [first, second] = calls.as_slice() else {
        bail!("{FLAKY_PATH} was called {} times instead of twice", calls.len());
    };
    let same = first.body == second.body && constant(first).eq(constant(second));
    if (first.answered, second.answered) != (500, 200) || !same {
        bail!("the retry of #{} is not a repetition", first.number);
    }
    let text = format!("#{} was answered 500, #{} repeats it", first.number, second.number);
    show.fact("retry", &text, json!({"first": first.number, "second": second.number}));
    Ok("the same body and headers, byte for byte, and with them the same delivery id".to_owned())
}

/// Headers that stay the same in a retry: all but timestamps and signatures.
fn constant(request: &Received) -> impl Iterator<Item = &(String, String)> {
    let made_anew = |name: &str| name.ends_with("timestamp") || name.ends_with("signature");
    request.headers.iter().filter(move |(name, _)| !made_anew(&name.to_ascii_lowercase()))
}

fn upsert(receiver: &Receiver, show: Show) -> Result<String> {
    let calls = receiver.received();
    let call =
        calls.iter().find(|r| r.path.starts_with(HUBSPOT_PATH)).context("no upsert arrived")?;
    let body: Value = serde_json::from_slice(&call.body).context("the upsert is no JSON")?;
    let properties = &body["inputs"][0]["properties"];
    show.fact("upsert", &format!("#{}: properties {properties}", call.number), properties.clone());
    if properties.get("phone").is_some() || properties["email"].as_str().is_none() {
        bail!("the upsert should have `email` and no `phone`: {properties}");
    }
    Ok("the template names a phone, the contact has none: the member is left out".to_owned())
}

fn replay(api: &Api, receiver: &Receiver, tenants: &[String], show: Show) -> Result<String> {
    for tenant in tenants {
        let Some(delivery) =
            api.list(&format!("/v1/tenants/{tenant}/deliveries?state=missed"))?.into_iter().next()
        else {
            continue;
        };
        let webhook = delivery["webhook_id"].as_str().context("a delivery without webhook_id")?;
        show.fact(
            "missed",
            &format!("{tenant}: delivery {} is `missed`", plain(&delivery["id"])),
            delivery.clone(),
        );
        if receiver.received().iter().any(|r| r.path == MISSED_PATH) {
            bail!("a disabled webhook was called");
        }
        let path = format!("/v1/tenants/{tenant}/webhooks/{webhook}");
        show.step(&format!("POST {path}/enable"));
        api.post(&format!("{path}/enable"), &json!({}))?;
        show.step(&format!("POST {path}/replay {{\"only\": \"missed\"}}"));
        api.post(&format!("{path}/replay"), &json!({"only": "missed"}))?;
        let limit = Duration::from_secs(ARRIVAL_S_MAX);
        let call = receiver
            .wait_until(limit, |all| all.iter().find(|r| r.path == MISSED_PATH).cloned())
            .context("the replayed event did not arrive")?;
        return Ok(format!("enabled and replayed: it arrived as #{}", call.number));
    }
    bail!("no delivery is `missed`")
}

/// Calls the first incoming URL of the demo, as an outside system would.
fn call_in(api: &Api, receiver: &Receiver, tenants: &[String], show: Show) -> Result<String> {
    for tenant in tenants {
        let path = format!("/v1/tenants/{tenant}/sources");
        let Some(source) = api.list(&path)?.into_iter().next() else { continue };
        // The URL contains the secret, which is shown only once, so a new one is made.
        let path = format!("{path}/{}/secret/rotate", plain(&source["id"]));
        let url = plain(&api.post(&path, &json!({}))?["url"]);
        let before = receiver.received().len();
        let answer = super::api::get_plain(&url)?;
        let text = format!("GET {url}\nanswered {answer}");
        show.fact("called", &text, json!({"url": url, "answer": answer}));
        let limit = Duration::from_secs(ARRIVAL_S_MAX);
        let call = receiver.wait_until(limit, |received| received.get(before).cloned());
        let call = call.context("the call made no event that anybody wants")?;
        return Ok(format!("the event that it became arrived as #{}", call.number));
    }
    bail!("no tenant of the demo has a source")
}

/// Compares deliveries with the requests received.
fn account(api: &Api, receiver: &Receiver, tenants: &[String], show: Show) -> Result<Vec<String>> {
    let mut complaints = Vec::new();
    let mut states: BTreeMap<String, usize> = BTreeMap::new();
    for tenant in tenants {
        for delivery in api.list(&format!("/v1/tenants/{tenant}/deliveries"))? {
            let state = plain(&delivery["state"]);
            if !matches!(state.as_str(), "delivered" | "dropped" | "missed") {
                complaints.push(format!(
                    "{tenant}: delivery {} is {state}: {}",
                    plain(&delivery["id"]),
                    plain(&delivery["reason"])
                ));
            }
            *states.entry(state).or_default() += 1;
        }
    }
    let received = receiver.received();
    let taken = received.iter().filter(|request| request.answered == 200).count();
    let delivered = states.get("delivered").copied().unwrap_or(0);
    if delivered == 0 || taken < delivered {
        complaints
            .push(format!("{delivered} deliveries are `delivered`, {taken} requests were taken"));
    }
    for request in received.iter().filter(|request| request.verdict.is_err()) {
        complaints.push(format!("#{} {} could not be verified", request.number, request.path));
    }
    let list: Vec<_> = states.iter().map(|(state, count)| format!("{count} {state}")).collect();
    let text = format!("deliveries: {}; requests received: {}", list.join(", "), received.len());
    show.fact("account", &text, json!({"deliveries": states, "requests": received.len()}));
    Ok(complaints)
}

/// Prints commands to go on with; each works as pasted.
pub(crate) fn what_next(server: &Server, tenants: &[String], show: Show) {
    let Some(tenant) = tenants.first() else { return };
    let base = format!("{}/v1/tenants/{tenant}", server.api.base);
    let key = format!(
        "-H \"Authorization: Bearer $(cat '{}')\"",
        server.data_dir.join("operator.key").display()
    );
    show.section("What to try next");
    show.command("the webhooks of one tenant", &format!("curl -s {key} {base}/webhooks"));
    show.command(
        "an event of your own: it arrives above",
        &format!(
            "curl -s {key} -H 'Content-Type: application/json' {base}/events -d '{{\"type\": \"conversation.started\", \
             \"data\": {{\"conversation\": {{\"id\": \"my-1\", \"botName\": \"My Bot\", \"initialMessage\": \"Hello\"}}}}}}'"
        ),
    );
    show.command("every delivery, with its state", &format!("curl -s {key} {base}/deliveries"));
    show.command(
        "a dropped or failed one, with its reason",
        &format!("curl -s {key} '{base}/deliveries?state=failed'"),
    );
    show.command(
        "everything the API can do",
        &format!("curl -s {key} {}/openapi.json", server.api.base),
    );
}
