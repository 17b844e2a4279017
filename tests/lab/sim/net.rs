//! The network of a run: sockets without an operating system, datagrams on a heap, every one of them in the trace.
//!
//! One relay and parties around it, each party behind a link of its own. A datagram to an address where nobody is bound
//! is lost without a word, as it is when a machine is off.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::chance::Chance;
use super::link::{Link, Way};
use super::trace::{Fate, Trace};

/// Datagrams that may wait at one socket; a real one holds about as many.
const INBOX_MAX: usize = 1024;

/// A datagram on its way: when it arrives, its number, where from, where to, and what it says.
type Flight = Reverse<(u64, u64, SocketAddr, SocketAddr, Vec<u8>)>;

#[derive(Default)]
struct Inbox {
    datagrams: VecDeque<(SocketAddr, Vec<u8>)>,
    waker: Option<Waker>,
}

struct State {
    chance: Chance,
    relay: IpAddr,
    bound: BTreeMap<SocketAddr, Inbox>,
    links: BTreeMap<IpAddr, Link>,
    // What the relay sees of a party's address, and back.
    outside: BTreeMap<SocketAddr, SocketAddr>,
    inside: BTreeMap<SocketAddr, SocketAddr>,
    flying: BinaryHeap<Flight>,
    numbers: u64,
    next_port: u16,
    trace: Trace,
    attempts: BTreeMap<IpAddr, BTreeSet<Vec<u8>>>,
    wire: Option<Vec<u8>>,
}

/// The network. Clones share it.
#[derive(Clone)]
pub struct Net {
    state: Arc<Mutex<State>>,
    begun: Instant,
    sent: Arc<Notify>,
}

impl Net {
    /// An empty network around a relay of this address. Begins its clock.
    pub fn new(relay: IpAddr, chance: Chance) -> Self {
        let state = State {
            chance,
            relay,
            bound: BTreeMap::new(),
            links: BTreeMap::new(),
            outside: BTreeMap::new(),
            inside: BTreeMap::new(),
            flying: BinaryHeap::new(),
            numbers: 0,
            next_port: 10_000,
            trace: Trace::default(),
            attempts: BTreeMap::new(),
            wire: None,
        };
        Self { state: Arc::new(Mutex::new(state)), begun: Instant::now(), sent: Arc::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Microseconds since the run began.
    pub fn now_us(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_micros()).expect("invariant: a run of less than an age")
    }

    /// Changes the link of a party.
    pub fn link(&self, of: IpAddr, change: impl FnOnce(&mut Link)) {
        change(self.state().links.entry(of).or_default());
    }

    /// Cuts a way of a party's link for so long.
    pub fn cut(&self, of: IpAddr, way: Way, ms: u64) {
        let until_us = self.now_us() + ms * 1_000;
        self.link(of, |link| link.cut(way, until_us));
    }

    /// From now on the relay sees this party at another port, and nobody reaches the old one: what a change of network
    /// or a forgetful router does.
    pub fn moves(&self, of: IpAddr) {
        let mut state = self.state();
        let old: Vec<SocketAddr> = state.bound.keys().filter(|at| at.ip() == of).copied().collect();
        for at in old {
            if let Some(outside) = state.outside.remove(&at) {
                state.inside.remove(&outside);
            }
        }
    }

    /// Every datagram and its fate so far.
    pub fn trace(&self) -> Trace {
        self.state().trace.clone()
    }

    /// Connection attempts of a party so far: handshakes begun, however often their packets were sent.
    pub fn attempts(&self, of: IpAddr) -> usize {
        self.state().attempts.get(&of).map_or(0, BTreeSet::len)
    }

    /// Keeps the bytes of every datagram from now on.
    pub fn tap(&self) {
        self.state().wire = Some(Vec::new());
    }

    /// What the tap has heard.
    pub fn tapped(&self) -> Vec<u8> {
        self.state().wire.clone().unwrap_or_default()
    }

    /// Binds a socket that is dead once `alive` is false.
    pub fn bind(&self, address: SocketAddr, alive: Arc<AtomicBool>) -> io::Result<Arc<Socket>> {
        let mut state = self.state();
        let mut address = address;
        if address.port() == 0 {
            state.next_port += 1;
            address.set_port(state.next_port);
        }
        if state.bound.contains_key(&address) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        state.bound.insert(address, Inbox::default());
        Ok(Arc::new(Socket { net: self.clone(), address, alive }))
    }

    /// Carries datagrams to their sockets; runs as long as the network is used.
    pub async fn carry(self) {
        loop {
            let first = self.state().flying.peek().map(|Reverse((at_us, ..))| *at_us);
            let due = first.map(|at_us| self.begun + Duration::from_micros(at_us));
            tokio::select! {
                biased;
                () = self.sent.notified() => {}
                () = sleep_until(due.unwrap_or(self.begun)), if due.is_some() => self.deliver(),
            }
        }
    }

    fn deliver(&self) {
        let now_us = self.now_us();
        let mut state = self.state();
        while state.flying.peek().is_some_and(|Reverse((at_us, ..))| *at_us <= now_us) {
            let Some(Reverse((_, _, from, to, bytes))) = state.flying.pop() else { return };
            let inside = if to.ip() == state.relay { Some(to) } else { state.inside.get(&to).copied() };
            let Some(inbox) = inside.and_then(|at| state.bound.get_mut(&at)) else { continue };
            if inbox.datagrams.len() < INBOX_MAX {
                inbox.datagrams.push_back((from, bytes));
            }
            if let Some(waker) = inbox.waker.take() {
                waker.wake();
            }
        }
    }

    fn send(&self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let now_us = self.now_us();
        let mut state = self.state();
        let way = if from.ip() == state.relay { Way::Down } else { Way::Up };
        let (party, seen_from) = match way {
            Way::Up => (from.ip(), state.seen_from(from)),
            Way::Down => (to.ip(), from),
        };
        if way == Way::Up
            && let Some(attempt) = initial(bytes)
        {
            state.attempts.entry(party).or_default().insert(attempt);
        }
        if let Some(wire) = &mut state.wire {
            wire.extend_from_slice(bytes);
        }
        let State { links, chance, .. } = &mut *state;
        let arrivals = links.entry(party).or_default().carry(way, now_us, bytes.len(), chance);
        let fate = match arrivals.len() {
            0 => Fate::Lost,
            1 => Fate::Carried,
            _ => Fate::Doubled,
        };
        state.trace.note(now_us, bytes.len(), party, way, fate);
        for at_us in arrivals {
            state.numbers += 1;
            let number = state.numbers;
            state.flying.push(Reverse((at_us, number, seen_from, to, bytes.to_vec())));
        }
        self.sent.notify_one();
    }
}

impl State {
    /// The address under which the relay sees a party's socket.
    fn seen_from(&mut self, inside: SocketAddr) -> SocketAddr {
        if let Some(outside) = self.outside.get(&inside) {
            return *outside;
        }
        self.next_port += 1;
        let outside = SocketAddr::new(inside.ip(), self.next_port);
        self.outside.insert(inside, outside);
        self.inside.insert(outside, inside);
        outside
    }
}

/// Who sends a first packet of a handshake (RFC 9000, 17.2.2): a device calls itself otherwise in every attempt.
fn initial(bytes: &[u8]) -> Option<Vec<u8>> {
    let [first, _, _, _, _, len, rest @ ..] = bytes else { return None };
    if first & 0b1111_0000 != 0b1100_0000 {
        return None;
    }
    let rest = rest.get(usize::from(*len)..)?;
    let (len, rest) = rest.split_first()?;
    rest.get(..usize::from(*len)).map(<[u8]>::to_vec)
}

/// A bound socket.
pub struct Socket {
    net: Net,
    address: SocketAddr,
    alive: Arc<AtomicBool>,
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Socket({})", self.address)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.net.state().bound.remove(&self.address);
    }
}

/// A datagram always leaves.
#[derive(Debug)]
struct Always;

impl UdpPoller for Always {
    fn poll_writable(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Always)
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        if self.alive.load(Ordering::Relaxed) {
            self.net.send(self.address, transmit.destination, transmit.contents);
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.net.state();
        let Some(inbox) = state.bound.get_mut(&self.address) else { return Poll::Pending };
        let mut count = 0;
        for (buf, meta) in bufs.iter_mut().zip(meta.iter_mut()) {
            let Some((from, bytes)) = inbox.datagrams.pop_front() else { break };
            buf[..bytes.len()].copy_from_slice(&bytes);
            let mut one = RecvMeta::default();
            (one.addr, one.len, one.stride, one.ecn, one.dst_ip) =
                (from, bytes.len(), bytes.len(), None, None);
            *meta = one;
            count += 1;
        }
        if count == 0 {
            inbox.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(count))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }

    fn may_fragment(&self) -> bool {
        false
    }
}
