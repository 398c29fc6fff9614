//! A real name server on UDP, which answers questions for addresses as a test configures it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::UdpSocket;

const TYPE_A: u16 = 1;
const TYPE_CNAME: u16 = 5;
const TYPE_AAAA: u16 = 28;

type Plan = Box<dyn Fn(&str, bool) -> Resolved + Send + Sync>;

/// What a name server answers to one question.
#[derive(Clone, Debug)]
pub enum Resolved {
    /// These addresses, as far as they are of the family that was asked for.
    To(Vec<IpAddr>),
    /// Another name, with its addresses.
    Alias(String, Vec<IpAddr>),
    /// The name does not exist.
    Nothing,
    /// The name server has failed.
    Failed,
    /// No answer, ever.
    Silence,
    /// The answer comes late.
    Late(Duration, Box<Resolved>),
}

impl Resolved {
    /// This machine.
    #[must_use]
    pub fn here() -> Resolved {
        Resolved::To(vec![Ipv4Addr::LOCALHOST.into()])
    }
}

/// Records every question.
pub struct NameServer {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<(String, bool)>>>,
}

impl NameServer {
    /// Answers by `plan`, which gets the name in lower case without a final dot, and whether IPv6 addresses
    /// are asked for.
    pub async fn start(
        plan: impl Fn(&str, bool) -> Resolved + Send + Sync + 'static,
    ) -> NameServer {
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let address = socket.local_addr().unwrap();
        let asked = Arc::<Mutex<Vec<(String, bool)>>>::default();
        tokio::spawn(serve(socket, Box::new(plan), Arc::clone(&asked)));
        NameServer { address, asked }
    }

    /// Names whose IPv4 addresses were asked for, in order.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|(_, six)| !six).map(|(name, _)| name.clone()).collect()
    }
}

async fn serve(socket: Arc<UdpSocket>, plan: Plan, asked: Arc<Mutex<Vec<(String, bool)>>>) {
    let mut buffer = [0; 1_500];
    while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
        let Some((question, name, kind)) = question(&buffer[..length]) else { continue };
        let six = kind == TYPE_AAAA;
        asked.lock().unwrap().push((name.clone(), six));
        let (resolved, late) = match plan(&name, six) {
            Resolved::Late(late, resolved) => (*resolved, late),
            resolved => (resolved, Duration::ZERO),
        };
        let Some(answer) = answer(&buffer[..2], &question, &resolved, six) else { continue };
        let socket = Arc::clone(&socket);
        tokio::spawn(async move {
            tokio::time::sleep(late).await;
            let _ = socket.send_to(&answer, from).await;
        });
    }
}

/// The bytes of the first question (RFC 1035 §4.1.2), its name and type.
fn question(message: &[u8]) -> Option<(Vec<u8>, String, u16)> {
    let (mut at, mut labels) = (12, Vec::new());
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(message.get(at..at + length)?).to_lowercase());
        at += length;
    }
    let question = message.get(12..at + 4)?.to_vec();
    let kind = u16::from_be_bytes([message[at], message[at + 1]]);
    Some((question, labels.join("."), kind))
}

/// None: no answer.
fn answer(id: &[u8], question: &[u8], resolved: &Resolved, six: bool) -> Option<Vec<u8>> {
    // A pointer to the name of the question, which begins after the header.
    let asked_name = vec![0xc0, 12];
    let mut records = Vec::new();
    let code = match resolved {
        Resolved::To(addresses) => {
            addresses
                .iter()
                .for_each(|address| address_record(&mut records, &asked_name, *address, six));
            0
        }
        Resolved::Alias(name, addresses) => {
            let name = wire_name(name);
            records.push(record(&asked_name, TYPE_CNAME, &name));
            addresses.iter().for_each(|address| address_record(&mut records, &name, *address, six));
            0
        }
        Resolved::Failed => 2,
        Resolved::Nothing => 3,
        Resolved::Silence | Resolved::Late(..) => return None,
    };
    let count = u16::try_from(records.len()).unwrap().to_be_bytes();
    // An answer, recursion desired and available.
    let header = [&id[..2], &[0x81, 0x80 | code], &[0, 1], &count, &[0, 0, 0, 0]].concat();
    Some([&header, question, &records.concat()].concat())
}

fn address_record(records: &mut Vec<Vec<u8>>, name: &[u8], address: IpAddr, six: bool) {
    match address {
        IpAddr::V4(four) if !six => records.push(record(name, TYPE_A, &Ipv4Addr::octets(&four))),
        IpAddr::V6(all) if six => records.push(record(name, TYPE_AAAA, &Ipv6Addr::octets(&all))),
        _ => {}
    }
}

/// A record of class IN that is good for a minute.
fn record(name: &[u8], kind: u16, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap().to_be_bytes();
    [name, &kind.to_be_bytes(), &[0, 1], &60_u32.to_be_bytes(), &length, data].concat()
}

fn wire_name(name: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        wire.push(u8::try_from(label.len()).unwrap());
        wire.extend(label.as_bytes());
    }
    wire.push(0);
    wire
}
