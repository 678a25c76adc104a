//! Pools against sockets of their own, on one thread.

use super::*;
use crate::config::Config;
use crate::config::Limits;
use crate::phase::PhaseLimits;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use tokio::net::TcpListener;

struct Stage {
    pool: Pool,
    ticks: Ticks,
    phase: Rc<Phase>,
    load: Arc<Load>,
}

const PATIENCE: Duration = Duration::from_secs(1);

fn config(addresses: &[SocketAddr], more: &str) -> (Upstream, Limits) {
    let addresses: Vec<_> = addresses.iter().map(|address| format!("'{address}'")).collect();
    let text = format!(
        "gateway.listen = '127.0.0.1:1'\nadmin.listen = '127.0.0.1:2'\nstore.path = 's'\n\
         [upstreams.a]\naddresses = [{}]\n{more}\n",
        addresses.join(", ")
    );
    let config = Config::parse(&text, Path::new("/"), &|_| None);
    let mut config = config.unwrap_or_else(|errors| panic!("{errors}"));
    (config.upstreams.remove(0), config.limits)
}

fn stage_of(roster: &Arc<Roster>, limits: &Limits) -> Stage {
    let ticks = Ticks::default();
    let pool = Pool::new(Arc::clone(roster), OwnPorts::default(), ticks.clone());
    let phase = Phase::new(ticks.clone(), PhaseLimits::from(limits));
    phase.begin_request();
    Stage { pool, ticks, phase, load: Arc::clone(&roster.load) }
}

fn stage(addresses: &[SocketAddr], more: &str) -> Stage {
    let (spec, limits) = config(addresses, more);
    stage_of(&Roster::all(&[spec])[0], &limits)
}

impl Stage {
    async fn connect(&self) -> Result<Link, ConnectError> {
        match self.pool.take() {
            Some(link) => Ok(link),
            None => self.pool.connect(&self.phase, PATIENCE).await,
        }
    }

    fn pass(&self, ticks: u32) {
        for _ in 0..ticks {
            self.ticks.advance();
            self.phase.sweep();
            self.pool.tick();
        }
    }

    fn address(link: &Link) -> String {
        link.under_way.spot().endpoint().address.to_string()
    }
}

/// A listener whose queue takes what connects.
async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn nobody() -> SocketAddr {
    listener().await.1
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test);
}

async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[test]
fn the_address_with_less_under_way_is_chosen() {
    run(async {
        let ((_a, a), (_b, b)) = (listener().await, listener().await);
        let stage = stage(&[a, b], "");
        let mut held = Vec::new();
        for _ in 0..20 {
            held.push(stage.connect().await.unwrap());
        }
        let at_a = held.iter().filter(|link| Stage::address(link) == a.to_string()).count();
        assert_eq!(at_a, 10, "of two addresses the one with less is always seen");
        // Those at one address end; what comes next goes there.
        held.retain(|link| Stage::address(link) == a.to_string());
        for _ in 0..10 {
            let link = stage.connect().await.unwrap();
            assert_eq!(Stage::address(&link), b.to_string());
            held.push(link);
        }
    });
}

#[test]
fn the_connection_that_was_used_last_is_used_next_and_too_many_are_closed() {
    run(async {
        let (_listener, address) = listener().await;
        let stage = stage(&[address], "idle_connections_max = 2");
        let mut links = Vec::new();
        for _ in 0..3 {
            links.push(stage.connect().await.unwrap());
        }
        assert_eq!(stage.load.connections(), 3);
        let ports: Vec<_> = links.iter().map(port).collect();
        for link in links {
            stage.pool.put_back(link);
        }
        assert_eq!(stage.load.connections(), 2, "one more than may be kept");
        assert_eq!(port(&stage.pool.take().unwrap()), ports[1]);
        stage.pass(600);
        assert_eq!(stage.load.connections(), 0, "what is idle for long is closed");
    });
}

fn port(link: &Link) -> u16 {
    let Stream::Plain(socket) = &link.stream else { panic!("TLS") };
    socket.local_addr().unwrap().port()
}

#[test]
fn an_address_that_refuses_is_left_out_and_tried_again_later() {
    run(async {
        let (_listener, good) = listener().await;
        let refusing = nobody().await;
        let stage = stage(&[refusing, good], "ejection = { pause_first = '1s' }");
        for _ in 0..10 {
            // Held: an address that refuses never has anything under way.
            let link = stage.connect().await.unwrap();
            assert_eq!(Stage::address(&link), good.to_string());
        }
        let count = |stage: &Stage| {
            let endpoint = Arc::clone(&stage.pool.home.roster.endpoints()[0]);
            (
                endpoint.ejected_by.load(std::sync::atomic::Ordering::Relaxed),
                endpoint.ejections.load(std::sync::atomic::Ordering::Relaxed),
            )
        };
        let mut all = Vec::new();
        for _ in 0..20 {
            all.push(stage.connect().await.unwrap());
        }
        assert_eq!(count(&stage), (1, 1), "it was tried once");
        stage.pass(10);
        assert_eq!(count(&stage), (1, 1), "its second is not over");
        stage.pass(1);
        assert_eq!(count(&stage), (0, 1), "it may be good again");
        // Nothing is under way there, so it is chosen next.
        all.push(stage.connect().await.unwrap());
        assert_eq!(count(&stage), (1, 2));
        stage.pass(20);
        assert_eq!(count(&stage), (1, 2), "the second pause is twice as long");
        drop(stage.pool);
    });
}

#[test]
fn exchanges_that_break_eject_and_what_is_idle_goes() {
    run(async {
        let ((_a, a), (_b, b)) = (listener().await, listener().await);
        let stage = stage(&[a, b], "ejection = { after = 3, on_5xx = true }");
        let [mut first, mut second] =
            [stage.connect().await.unwrap(), stage.connect().await.unwrap()];
        if Stage::address(&first) != a.to_string() {
            std::mem::swap(&mut first, &mut second);
        }
        let reached = first.reached();
        stage.pool.put_back(first);
        stage.pool.put_back(second);
        assert_eq!(stage.load.connections(), 2);
        stage.pool.broke(&reached);
        stage.pool.answered(&reached, 503);
        stage.pool.answered(&reached, 499);
        stage.pool.broke(&reached);
        stage.pool.answered(&reached, 500);
        assert_eq!(stage.load.connections(), 2, "an answer ended the first row");
        stage.pool.broke(&reached);
        assert_eq!(stage.load.connections(), 1, "what was idle leads to the same trouble");
        for _ in 0..10 {
            let link = stage.connect().await.unwrap();
            assert_eq!(Stage::address(&link), b.to_string());
            stage.pool.put_back(link);
        }
        // The other one fails, too: with nothing left all are used.
        let other = stage.connect().await.unwrap().reached();
        (0..3).for_each(|_| stage.pool.broke(&other));
        let mut seen = BTreeSet::new();
        let mut held = Vec::new();
        for _ in 0..4 {
            let link = stage.connect().await.unwrap();
            seen.insert(Stage::address(&link));
            held.push(link);
        }
        assert_eq!(seen.len(), 2, "{seen:?}");
    });
}

#[test]
fn beyond_the_limit_requests_wait_in_order_and_beyond_that_they_are_refused() {
    run(async {
        let (_listener, address) = listener().await;
        let stage = Rc::new(stage(&[address], "connections_max = 2\npending_max = 3"));
        let held = [stage.connect().await.unwrap(), stage.connect().await.unwrap()];
        let told = Rc::new(RefCell::new(Vec::new()));
        let mut waiting = Vec::new();
        for nth in 0..3 {
            let (stage, told) = (Rc::clone(&stage), Rc::clone(&told));
            waiting.push(tokio::task::spawn_local(async move {
                let link = stage.connect().await;
                told.borrow_mut().push((nth, link.is_ok()));
                link
            }));
            settle().await;
        }
        assert_eq!(stage.load.pending(), 3);
        let refused = stage.connect().await;
        assert!(matches!(refused, Err(ConnectError::Crowded { connections: 2, pending: 3 })));
        assert!(told.borrow().is_empty());
        // The second one leaves, and its place is free.
        waiting.remove(1).abort();
        settle().await;
        assert_eq!(stage.load.pending(), 2);
        let [first, second] = held;
        let handed = port(&first);
        // One comes free as it is, the other one is closed, so another is made.
        stage.pool.put_back(first);
        settle().await;
        assert_eq!(*told.borrow(), [(0, true)]);
        drop(second);
        settle().await;
        tokio::task::yield_now().await;
        let last = waiting.pop().unwrap().await.unwrap().unwrap();
        let first = waiting.pop().unwrap().await.unwrap().unwrap();
        assert_eq!(*told.borrow(), [(0, true), (2, true)]);
        assert_eq!(port(&first), handed, "the connection itself was handed over");
        assert_eq!((stage.load.connections(), stage.load.pending()), (2, 0));
        drop((first, last));
        assert_eq!(stage.load.connections(), 0);
    });
}

#[test]
fn who_leaves_when_it_is_their_turn_passes_it_on() {
    run(async {
        let (_listener, address) = listener().await;
        let stage = Rc::new(stage(&[address], "connections_max = 1"));
        for given_as_it_is in [true, false] {
            let held = stage.connect().await.unwrap();
            let wait = || {
                let stage = Rc::clone(&stage);
                tokio::task::spawn_local(async move { stage.connect().await })
            };
            let (leaves, stays) = (wait(), wait());
            settle().await;
            assert_eq!(stage.load.pending(), 2);
            if given_as_it_is {
                stage.pool.put_back(held);
            } else {
                drop(held);
            }
            // It was given, and has not been taken.
            leaves.abort();
            let link = stays.await.unwrap().unwrap();
            assert!(leaves.await.err().unwrap().is_cancelled());
            assert_eq!((stage.load.connections(), stage.load.pending()), (1, 0));
            drop(link);
        }
    });
}

#[test]
fn who_waits_for_too_long_is_told_that_it_is_crowded() {
    run(async {
        let (_listener, address) = listener().await;
        let stage = Rc::new(stage(&[address], "connections_max = 1"));
        let _held = stage.connect().await.unwrap();
        let waiting = {
            let stage = Rc::clone(&stage);
            tokio::task::spawn_local(async move { stage.connect().await.map(|_link| ()) })
        };
        settle().await;
        stage.phase.keep_waker(std::task::Waker::noop());
        stage.pass(11);
        assert!(matches!(waiting.await.unwrap(), Err(ConnectError::Crowded { .. })));
        assert_eq!(stage.load.pending(), 0);
    });
}

#[test]
fn what_another_worker_has_idle_is_given_up_and_each_may_have_one() {
    run(async {
        let (_listener, address) = listener().await;
        let (spec, limits) = config(&[address], "connections_max = 2");
        let roster = Roster::all(&[spec]).remove(0);
        let (rich, poor) = (stage_of(&roster, &limits), Rc::new(stage_of(&roster, &limits)));
        let links = [rich.connect().await.unwrap(), rich.connect().await.unwrap()];
        let _own = poor.connect().await.unwrap();
        assert_eq!(poor.load.connections(), 3, "each worker may have one");
        let waiting = {
            let poor = Rc::clone(&poor);
            tokio::task::spawn_local(async move { poor.connect().await })
        };
        settle().await;
        assert_eq!(poor.load.pending(), 1);
        for link in links {
            rich.pool.put_back(link);
        }
        poor.pass(1);
        assert_eq!(poor.load.pending(), 1, "they are idle there, and nobody knows here");
        rich.pass(1);
        assert_eq!(poor.load.connections(), 1);
        poor.pass(1);
        let _link = waiting.await.unwrap().unwrap();
        assert_eq!((poor.load.connections(), poor.load.pending()), (2, 0));
    });
}
