//! R1 to R7: clients and upstreams that take their time, or more than their share.

use super::Stage;
use crate::upstream::{Request, Script, early, huge, ok, response};
use crate::wire::{Cut, Wire};
use crate::world::{Setup, eventually, get};
use std::thread;
use std::time::{Duration, Instant};

/// Every phase may be silent for a second.
fn hasty(setup: Setup) -> Setup {
    setup
        .limit("head_timeout = \"1s\"")
        .limit("body_idle_timeout = \"1s\"")
        .limit("write_idle_timeout = \"1s\"")
        .limit("keep_alive_timeout = \"1s\"")
}

/// What a limit of one second may take on a busy machine.
const LATEST: Duration = Duration::from_secs(8);

fn stage(script: Script) -> Stage {
    Stage::with(script, hasty)
}

/// Sends bytes one by one until the connection is gone; how long that took.
#[track_caller]
fn drips(wire: &mut Wire, variant: &str, byte: &[u8], pause: Duration) -> Duration {
    let begun = Instant::now();
    while begun.elapsed() < LATEST {
        if wire.try_send(byte).is_err() {
            return begun.elapsed();
        }
        // A reset only shows at the second write: reading tells of it, and of an answer.
        match wire.some(pause) {
            Err(Cut::TimedOut) => {}
            Err(_) => return begun.elapsed(),
            Ok(said) => {
                let said = String::from_utf8_lossy(&said).into_owned();
                assert!(said.starts_with("HTTP/1.1 408"), "{variant}: answered with {said}");
            }
        }
    }
    panic!("{variant}: the connection was open after {LATEST:?}");
}

#[test]
fn r1_a_silent_connection_is_closed() {
    let stage = stage(ok());
    let begun = Instant::now();
    let mut silent = stage.world.wire();
    let mut used = stage.world.wire();
    assert_eq!(used.send(stage.get("/orders/x", "")).answer().status, 200);
    let mut begins = stage.world.wire();
    begins.send("GET /orders/x HT");
    for (variant, wire) in [
        ("that never spoke", &mut silent),
        ("between requests", &mut used),
        ("within a head", &mut begins),
    ] {
        let (_, cut) = wire.rest(LATEST);
        assert_ne!(cut, Cut::TimedOut, "a connection {variant} was left open");
    }
    assert!(begun.elapsed() > Duration::from_millis(800), "they were closed before their time");
    // Half the time is no silence yet, neither before a request nor between two.
    let mut patient = stage.world.wire();
    for _ in 0..3 {
        thread::sleep(Duration::from_millis(500));
        assert_eq!(patient.send(stage.get("/orders/x", "")).answer().status, 200);
    }
}

#[test]
fn r1_the_admin_port_closes_silent_connections_too() {
    let stage = stage(ok());
    let mut silent = Wire::to(stage.world.admin);
    let mut begins = Wire::to(stage.world.admin);
    begins.send("GET /healthz HT");
    for wire in [&mut silent, &mut begins] {
        // Its 10 s are no configuration's.
        let (_, cut) = wire.rest(Duration::from_secs(20));
        assert_ne!(cut, Cut::TimedOut, "a connection was left open");
    }
}

#[test]
fn r2_slow_headers() {
    let stage = stage(ok());
    let head = format!("GET /orders/slow HTTP/1.1\r\nHost: gateway.test\r\n{}", stage.bearer());
    for (variant, begin) in [("the first line", "GET /orders/slow"), ("a field", &head)] {
        let mut wire = stage.world.wire();
        wire.send(begin);
        let took = drips(&mut wire, variant, b"x", Duration::from_millis(200));
        assert!(took > Duration::from_millis(700), "{variant}: closed after {took:?} already");
    }
    // Whoever finishes in time is served, and the second head has a time of its own.
    let mut wire = stage.world.wire();
    for _ in 0..2 {
        for piece in ["GET /orders/x HTTP/1.1\r\n", "Host: gateway.test\r\n", &stage.bearer()] {
            wire.send(piece);
            thread::sleep(Duration::from_millis(150));
        }
        assert_eq!(wire.send("\r\n").answer().status, 200);
    }
    stage.arrived();
    stage.untouched("slow heads");
}

#[test]
fn r3_slow_bodies() {
    let stage = stage(ok());
    let bearer = stage.bearer();
    let head = format!("POST /orders/slow HTTP/1.1\r\nHost: gateway.test\r\n{bearer}");
    for (variant, begin) in [
        ("a length", format!("{head}Content-Length: 1000\r\n\r\nbegin")),
        ("chunked", format!("{head}Transfer-Encoding: chunked\r\n\r\n400\r\nbegin")),
    ] {
        let mut silent = stage.world.wire();
        let (_, cut) = silent.send(&begin).rest(LATEST);
        assert_ne!(cut, Cut::TimedOut, "{variant}: a body that stopped was awaited");
        // Never silent for a second, but far below 100 bytes per second.
        let mut dripping = stage.world.wire();
        dripping.send(&begin);
        drips(&mut dripping, variant, b"x", Duration::from_millis(200));
    }
    // Slow, but not too slow: 5 x 100 bytes in 1.5 s.
    let mut wire = stage.world.wire();
    wire.send(format!("{head}Content-Length: 500\r\n\r\n"));
    for _ in 0..5 {
        thread::sleep(Duration::from_millis(300));
        wire.send("x".repeat(100));
    }
    assert_eq!(wire.answer().status, 200);
    stage.honest("slow bodies");
    let (whole, broken): (Vec<_>, Vec<_>) =
        stage.arrived().into_iter().partition(Request::is_complete);
    assert_eq!(whole.len(), 1, "{whole:#?}");
    assert_eq!(whole[0].body.bytes.len(), 500);
    assert!(broken.iter().all(|request| request.target() == "/orders/slow"), "{broken:#?}");
}

#[test]
fn r4_slow_readers() {
    const SIZE: u64 = 64 << 20;
    let stage = stage(huge(SIZE));
    let calm = stage.world.descriptors();
    let request = stage.get("/orders/huge", "");
    let mut silent = stage.world.wire();
    silent.send(&request).answer_head();
    let mut slow = stage.world.wire();
    slow.send(&request).answer_head();
    let mut honest = stage.world.wire();
    let whole = honest.send(&request).answer();
    assert_eq!((whole.body.len() as u64, whole.cut), (SIZE, None), "a quick reader gets it all");
    drop(whole);
    // The slow one takes a little now and then and never lets the gateway's buffers empty.
    let begun = Instant::now();
    let mut socket = slow.socket();
    let gone = eventually(LATEST * 2, || {
        let _taken = std::io::Read::read(&mut socket, &mut [0; 10]);
        thread::sleep(Duration::from_millis(100));
        stage.world.descriptors() <= calm + 1
    });
    assert!(gone, "two readers that do not read were kept for {:?}", begun.elapsed());
    // What the kernel had already may still come: an end, but never the whole.
    for (variant, wire) in [("silent", &mut silent), ("slow", &mut slow)] {
        let (said, cut) = wire.rest(LATEST);
        assert_ne!(cut, Cut::TimedOut, "{variant}: still open");
        assert!((said.len() as u64) < SIZE, "{variant}: everything came after all");
    }
}

#[test]
fn r5_out_of_file_descriptors() {
    let mut stage = Stage::with(ok(), |setup| {
        setup.gateway("workers = 1").descriptors_max(64).limit("head_timeout = \"60s\"")
    });
    let calm = stage.world.descriptors();
    let held: Vec<_> = (0..128).map(|_| stage.world.wire()).collect();
    let full = eventually(LATEST, || stage.world.descriptors() > calm + 10);
    assert!(full, "the gateway took {} descriptors only", stage.world.descriptors());
    // The ones that were accepted still work, as far as nothing new is needed for them.
    thread::sleep(Duration::from_millis(500));
    assert!(stage.world.lives(), "it died of it:\n{}", stage.world.told());
    let busy = cpu_ticks(stage.world.pid());
    thread::sleep(Duration::from_secs(1));
    let spun = cpu_ticks(stage.world.pid()) - busy;
    assert!(spun < 50, "accepting spins: {spun} ticks of 100 within a second");
    drop(held);
    let token = &stage.token;
    let recovered = eventually(LATEST, || {
        let mut wire = stage.world.wire();
        wire.send(get("/orders/x", &token.bearer()));
        wire.answer_to("GET", Duration::from_secs(2)).is_ok_and(|answer| answer.status == 200)
    });
    assert!(recovered, "it did not recover:\n{}", stage.world.told());
    for _ in 0..20 {
        stage.honest("descriptors came back");
    }
}

/// User and system time of a process, in ticks of 10 ms.
fn cpu_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("/proc tells of it");
    let after = stat.rsplit(')').next().expect("a name in parentheses");
    after.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
}

#[test]
fn r6_heads_that_are_too_large() {
    let stage = Stage::new();
    let fields =
        |count: usize| (0..count).map(|n| format!("X-{n}: 1\r\n")).collect::<Vec<_>>().concat();
    stage.passes("90 fields", stage.get("/orders/x", &fields(90)));
    stage.passes("a field of 30,000 bytes", {
        stage.get("/orders/x", &format!("X-Long: {}\r\n", "x".repeat(30_000)))
    });
    for (variant, request) in [
        ("101 fields", stage.get("/orders/x", &fields(99))),
        ("10,000 fields", stage.get("/orders/x", &fields(10_000))),
        ("a field of 1 MiB", stage.get("/orders/x", &format!("X: {}\r\n", "x".repeat(1 << 20)))),
        (
            "a field that does not end",
            format!("GET /orders/x HTTP/1.1\r\nX: {}", "x".repeat(1 << 20)),
        ),
        (
            "many long fields",
            stage.get("/orders/x", &format!("X: {}\r\n", "x".repeat(9_000)).repeat(80)),
        ),
    ] {
        stage.refuses(variant, request, &[431]);
    }
    for (variant, target) in [
        ("a target of 1 MiB", format!("/orders/{}", "x".repeat(1 << 20))),
        ("a target of 70,000 bytes", format!("/orders/{}", "x".repeat(70_000))),
    ] {
        stage.refuses(variant, stage.get(&target, ""), &[414, 431]);
    }
}

#[test]
fn r7_an_upstream_that_answers_before_the_body() {
    const ROUNDS: usize = 40;
    let stage = Stage::with(early(response("413 Content Too Large", "no")), |setup| {
        setup.limit("body_idle_timeout = \"1s\"")
    });
    let bearer = stage.bearer();
    let head = format!(
        "POST /orders/early HTTP/1.1\r\nHost: gateway.test\r\n{bearer}Content-Length: 100000000\r\n\r\n"
    );
    let calm = stage.world.descriptors();
    for nth in 0..ROUNDS {
        let mut wire = stage.world.wire();
        wire.send(&head).send(vec![b'x'; 1 << 20]);
        let answer = wire.answer();
        assert_eq!((answer.status, answer.text().as_str()), (413, "no"), "round {nth}: {answer:?}");
    }
    let flat = eventually(LATEST, || stage.world.descriptors() <= calm + 4);
    assert!(flat, "{calm} descriptors before, {} after", stage.world.descriptors());
    // None of those connections may serve another request.
    stage.upstream.behave(ok());
    for _ in 0..4 {
        stage.honest("early answers");
    }
}

#[test]
fn r7_a_refusal_ends_the_upload() {
    // It announces an answer, sends half of it, and reads on as if a request could follow.
    let stage = Stage::with(
        std::sync::Arc::new(|peer: &mut crate::upstream::Peer| {
            while let Some(head) = peer.head() {
                if head.second().contains("early") {
                    peer.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\n\r\nno");
                    thread::sleep(Duration::from_millis(600));
                    peer.send("no");
                } else {
                    peer.send(response("200 OK", "ok"));
                }
            }
        }),
        |setup| setup.gateway("workers = 1"),
    );
    let paused = "GET /orders/paused HTTP/1.1\r\nHost: a\r\nX-Auth-Subject: admin\r\n\r\n";
    let mut wire = stage.world.wire();
    wire.send(format!(
        "POST /orders/early HTTP/1.1\r\nHost: gateway.test\r\n{}Content-Length: {}\r\n\r\n",
        stage.bearer(),
        paused.len()
    ));
    wire.answer_head();
    thread::sleep(Duration::from_millis(200));
    let _perhaps_refused = wire.try_send(paused);
    assert_ne!(wire.rest(LATEST).1, Cut::TimedOut, "the connection was kept");
    for _ in 0..4 {
        stage.honest("a refusal before the body");
    }
    assert!(!stage.upstream.saw("/orders/paused"), "a body was read as a request");
}
