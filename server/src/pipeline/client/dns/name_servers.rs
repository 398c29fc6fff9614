//! Asks the machine's name servers without a thread that waits. `resolv.conf` and the hosts file are read
//! here, and read anew when they change.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, select};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
    ServerOrderingStrategy,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::Name;
use parking_lot::Mutex;

use super::hosts::Hosts;
use crate::config::DeliveryConfig;

/// How often the files are looked at, at most.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How long the addresses of one family wait for those of the other. Some name servers drop questions for
/// AAAA without an answer.
const OTHER_FAMILY: Duration = Duration::from_millis(300);

/// Addresses of one name that are used.
const ADDRESSES_MAX: usize = 16;

/// Questions under way at once over one TCP connection to a name server. More than all look-ups ask, so that
/// the look-ups of one tenant can't fill it.
const QUESTIONS_MAX: usize = 32_768;

/// The addresses of a name, and for how long its owner says they are good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) addresses: Arc<[IpAddr]>,
    pub(super) good_for: Duration,
}

/// Asks the name servers that the files name.
pub(super) struct NameServers {
    resolv_conf: PathBuf,
    hosts_file: PathBuf,
    /// Asked instead of those of `resolv_conf`, if there are any.
    instead: Vec<SocketAddr>,
    current: Mutex<Current>,
}

#[derive(Clone)]
struct Current {
    hosts: Arc<Hosts>,
    /// None: the resolver can't be built.
    resolver: Option<TokioResolver>,
    no_ipv6: bool,
    seen: [Option<Stamp>; 2],
    look_at: Instant,
}

/// What tells one version of a file from the next.
type Stamp = (SystemTime, u64);

impl NameServers {
    pub(super) fn new(config: &DeliveryConfig) -> NameServers {
        let resolv_conf = config.resolv_conf.clone();
        let hosts_file = config.hosts_file.clone();
        let instead = config.name_servers.clone();
        let current = Mutex::new(Current::read(&resolv_conf, &hosts_file, &instead));
        NameServers { resolv_conf, hosts_file, instead, current }
    }

    /// Reads the files again if they have changed. True: they have.
    pub(super) fn refresh(&self) -> bool {
        let mut current = self.current.lock();
        let now = Instant::now();
        if now < current.look_at {
            return false;
        }
        current.look_at = now + LOOK_EVERY;
        if current.seen == stamps(&self.resolv_conf, &self.hosts_file) {
            return false;
        }
        *current = Current::read(&self.resolv_conf, &self.hosts_file, &self.instead);
        true
    }

    /// The addresses of a name, or why there are none.
    pub(super) async fn ask(&self, host: &str) -> Result<Answer, String> {
        let Current { hosts, resolver, no_ipv6, .. } = self.current.lock().clone();
        if let Some(known) = hosts.find(host) {
            return Ok(answer(known, Duration::MAX));
        }
        let Some(resolver) = resolver else {
            return Err("the name servers of this machine can't be used".to_owned());
        };
        let name = Name::from_ascii(host).map_err(|_| "it is no host name".to_owned())?;
        let four = || {
            let (resolver, name) = (resolver.clone(), name.clone());
            async move { resolver.ipv4_lookup(name).await }.boxed()
        };
        if no_ipv6 {
            return found([Some(four().await), None]);
        }
        let six = {
            let (resolver, name) = (resolver.clone(), name.clone());
            async move { resolver.ipv6_lookup(name).await }.boxed()
        };
        found(both(six, four()).await)
    }
}

impl Current {
    fn read(resolv_conf: &Path, hosts_file: &Path, instead: &[SocketAddr]) -> Current {
        // Before reading: a change in between is seen the next time.
        let seen = stamps(resolv_conf, hosts_file);
        let hosts = Hosts::parse(&text_of(hosts_file));
        let text = text_of(resolv_conf);
        let (mut parsed, wrong) = resolv_conf::Config::parse_with_errors(text.as_bytes());
        parsed.glibc_normalize();
        for error in wrong {
            tracing::warn!(%error, file = %resolv_conf.display(), "a line can't be read");
        }
        if parsed.nameservers.is_empty() && instead.is_empty() {
            tracing::warn!(
                file = %resolv_conf.display(),
                "no name servers are named; the one of this machine is asked"
            );
        }
        let (config, options) = settings(&parsed, instead);
        let provider = TokioRuntimeProvider::default();
        let built = TokioResolver::builder_with_config(config, provider);
        let resolver = built.with_options(options).build();
        let resolver = resolver.inspect_err(|error| {
            tracing::error!(%error, "host names can't be resolved, except those of the hosts file");
        });
        let look_at = Instant::now() + LOOK_EVERY;
        let no_ipv6 = parsed.no_aaaa;
        Current { hosts: Arc::new(hosts), resolver: resolver.ok(), no_ipv6, seen, look_at }
    }
}

/// A file that is missing is empty, as for the C library.
fn text_of(file: &Path) -> String {
    match std::fs::read(file) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => {
            tracing::warn!(%error, file = %file.display(), "can't be read");
            String::new()
        }
    }
}

fn stamps(resolv_conf: &Path, hosts_file: &Path) -> [Option<Stamp>; 2] {
    [resolv_conf, hosts_file].map(|file| {
        let seen = std::fs::metadata(file).ok()?;
        Some((seen.modified().ok()?, seen.len()))
    })
}

/// What a `resolv.conf` says, in the resolver's words.
fn settings(
    parsed: &resolv_conf::Config,
    instead: &[SocketAddr],
) -> (ResolverConfig, ResolverOpts) {
    let asked = if instead.is_empty() {
        let named = parsed.get_nameservers_or_local().into_iter();
        named.map(|named| SocketAddr::new(named.into(), 53)).collect()
    } else {
        instead.to_vec()
    };
    let servers = asked.into_iter().map(|address| {
        let mut udp = ConnectionConfig::udp();
        let mut tcp = ConnectionConfig::tcp();
        (udp.port, tcp.port) = (address.port(), address.port());
        let ways = if parsed.use_vc { vec![tcp] } else { vec![udp, tcp] };
        NameServerConfig::new(address.ip(), true, ways)
    });
    let mut search: Vec<String> =
        parsed.get_last_search_or_domain().map(ToOwned::to_owned).collect();
    if search.is_empty() {
        search.extend(parsed.get_system_domain());
    }
    // Both stand for no domain.
    search.retain(|name| name != "--" && name != ".");
    let search = search.iter().filter_map(|name| Name::from_str(name).ok()).collect();
    let mut options = ResolverOpts::default();
    options.ndots = parsed.ndots as usize;
    options.timeout = Duration::from_secs(u64::from(parsed.timeout));
    options.attempts = parsed.attempts as usize;
    options.edns0 = parsed.edns0;
    options.use_hosts_file = ResolveHosts::Never;
    // What is remembered is kept for each tenant, not here.
    options.cache_size = 0;
    options.max_active_requests = QUESTIONS_MAX;
    // Names that are never answered must not change who is asked first.
    options.server_ordering_strategy = if parsed.rotate {
        ServerOrderingStrategy::RoundRobin
    } else {
        ServerOrderingStrategy::UserProvidedOrder
    };
    (ResolverConfig::from_parts(None, search, servers.collect()), options)
}

type Asked = Result<Lookup, NetError>;

/// Asks for both families at once. Once one has addresses, the other has little time left.
async fn both(
    six: BoxFuture<'static, Asked>,
    four: BoxFuture<'static, Asked>,
) -> [Option<Asked>; 2] {
    let (first, other) = select(six, four).await.factor_first();
    let other = other.into_inner();
    let second = match &first {
        Ok(lookup) if !lookup.answers().is_empty() => {
            tokio::time::timeout(OTHER_FAMILY, other).await.ok()
        }
        _ => Some(other.await),
    };
    [Some(first), second]
}

fn found(asked: [Option<Asked>; 2]) -> Result<Answer, String> {
    let mut why = None;
    let mut lookups: Vec<Lookup> = Vec::with_capacity(2);
    for result in asked.into_iter().flatten() {
        match result {
            Ok(lookup) if lookup.answers().is_empty() => {}
            // The other family belongs to another domain of the search list, thus to another machine.
            Ok(lookup) if lookups.iter().any(|l| l.query().name() != lookup.query().name()) => {}
            Ok(lookup) => lookups.push(lookup),
            Err(error) => why = why.or(Some(error)),
        }
    }
    let mut families = [Vec::new(), Vec::new()];
    for address in lookups.iter().flat_map(Lookup::answers).filter_map(|r| r.data.ip_addr()) {
        families[usize::from(address.is_ipv4())].push(address);
    }
    let [six, four] = families;
    let addresses: Vec<IpAddr> = alternating(six, four).take(ADDRESSES_MAX).collect();
    if addresses.is_empty() {
        return Err(why.map_or_else(|| "it has no address".to_owned(), |error| reason(&error)));
    }
    let until = lookups.iter().map(Lookup::valid_until).min();
    let good_for =
        until.map_or(Duration::MAX, |until| until.saturating_duration_since(Instant::now()));
    Ok(answer(addresses, good_for))
}

fn answer(addresses: Vec<IpAddr>, good_for: Duration) -> Answer {
    Answer { addresses: addresses.into(), good_for }
}

/// One of each family in turn (RFC 8305 §4).
fn alternating(six: Vec<IpAddr>, four: Vec<IpAddr>) -> impl Iterator<Item = IpAddr> {
    let (mut six, mut four) = (six.into_iter(), four.into_iter());
    let pairs = std::iter::from_fn(move || {
        let pair = [six.next(), four.next()];
        pair.iter().any(Option::is_some).then_some(pair)
    });
    pairs.flatten().flatten()
}

/// Why there is no address, in words that say what to do.
fn reason(error: &NetError) -> String {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NXDomain => "the name does not exist".to_owned(),
            ResponseCode::NoError => "it has no address".to_owned(),
            code => format!("the name server answered: {code}"),
        },
        NetError::Timeout => "no name server answered in time".to_owned(),
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_follow_resolv_conf() {
        let text = "nameserver 10.1.1.1\nnameserver fd00::1\nsearch a.example -- b.example\n\
                    options ndots:3 timeout:2 attempts:4 edns0 rotate\n";
        let parsed = resolv_conf::Config::parse(text).unwrap();
        let (config, options) = settings(&parsed, &[]);
        let asked: Vec<_> = config.name_servers().iter().map(|s| s.ip.to_string()).collect();
        assert_eq!(asked, ["10.1.1.1", "fd00::1"]);
        assert!(config.name_servers().iter().all(|s| s.connections.iter().all(|c| c.port == 53)));
        let search: Vec<_> = config.search().iter().map(ToString::to_string).collect();
        assert_eq!(search, ["a.example", "b.example"]);
        assert_eq!((options.ndots, options.attempts, options.edns0), (3, 4, true));
        assert_eq!(options.timeout, Duration::from_secs(2));
        let (config, _) = settings(&parsed, &["127.0.0.1:5300".parse().unwrap()]);
        assert_eq!(config.name_servers()[0].connections[0].port, 5_300);
        let (config, _) = settings(&resolv_conf::Config::parse("").unwrap(), &[]);
        assert_eq!(config.name_servers()[0].ip, IpAddr::from([127, 0, 0, 1]), "like the C library");
    }

    #[test]
    fn families_take_turns() {
        let six = ["2001:db8::1".parse().unwrap()];
        let four: Vec<IpAddr> = ["10.0.0.1", "10.0.0.2"].map(|a| a.parse().unwrap()).into();
        let all: Vec<_> = alternating(six.into(), four).map(|a| a.to_string()).collect();
        assert_eq!(all, ["2001:db8::1", "10.0.0.1", "10.0.0.2"]);
    }
}
