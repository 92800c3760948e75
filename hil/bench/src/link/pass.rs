//! One connection of a link: two threads that pass bytes on, each in its direction.

use super::{Seeded, Shared, http, lock};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::Duration;

/// How often a thread that waits looks whether something has changed.
const LOOK: Duration = Duration::from_millis(20);

/// Waits without being woken.
pub(super) fn rest(time: Duration) {
    let (_keep, never) = mpsc::channel::<()>();
    let _ = never.recv_timeout(time);
}

/// Waits while nothing may pass; false where the link has ended.
pub(super) fn wait_open(shared: &Shared) -> bool {
    while lock(&shared.rules).black_hole {
        if shared.ended.load(Ordering::Relaxed) {
            return false;
        }
        rest(LOOK);
    }
    true
}

/// Serves one connection to its end.
pub(super) fn connection(near: TcpStream, number: u64, shared: &Arc<Shared>) {
    let is_http = {
        let mut rules = lock(&shared.rules);
        if rules.cut {
            return;
        }
        if rules.refuse > 0 {
            rules.refuse -= 1;
            rules.happened("refuse");
            return;
        }
        !rules.http.is_empty()
    };
    let _ = near.set_nodelay(true);
    if !wait_open(shared) {
        return;
    }
    let Ok(far) = TcpStream::connect_timeout(&shared.target, Duration::from_secs(5)) else {
        return;
    };
    let _ = far.set_nodelay(true);
    if let (Ok(a), Ok(b)) = (near.try_clone(), far.try_clone()) {
        lock(&shared.open).push((number, a, b));
    }
    let door = lock(&shared.door).clone();
    match door {
        Some(door) if is_http => http::serve(near, far, number, &door, shared),
        _ => both_ways(near, far, number, shared),
    }
    lock(&shared.open).retain(|(n, _, _)| *n != number);
}

fn both_ways(near: TcpStream, far: TcpStream, number: u64, shared: &Arc<Shared>) {
    let (Ok(near_too), Ok(far_too)) = (near.try_clone(), far.try_clone()) else {
        return;
    };
    let of_thread = Arc::clone(shared);
    let back = std::thread::spawn(move || {
        one_way(far_too, near_too, &format!("{number} back"), &of_thread);
    });
    one_way(near, far, &format!("{number} forth"), shared);
    let _ = back.join();
}

fn one_way(mut from: TcpStream, mut to: TcpStream, name: &str, shared: &Shared) {
    let mut random = Seeded::new(shared.seed, name);
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let length = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => length,
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        if !wait_open(shared) || !forward(&buffer[..length], &mut to, &mut random, shared) {
            break;
        }
    }
    // What ended in a black hole ends unheard.
    if !lock(&shared.rules).black_hole {
        let _ = to.shutdown(Shutdown::Write);
        let _ = from.shutdown(Shutdown::Read);
    }
}

/// Passes one piece on, as the rules say; false where the connection has ended.
pub(super) fn forward(
    piece: &[u8],
    to: &mut TcpStream,
    random: &mut Seeded,
    shared: &Shared,
) -> bool {
    let (delay, jitter, bandwidth) = {
        let rules = lock(&shared.rules);
        (rules.delay, rules.jitter, rules.bandwidth)
    };
    let millis = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
    let pause = delay + Duration::from_millis(random.below(millis(jitter) + 1));
    if !pause.is_zero() {
        rest(pause);
    }
    let mut rest_of = piece;
    while !rest_of.is_empty() {
        let mut length = rest_of.len();
        if shared.hostile && random.below(4) == 0 {
            // TCP keeps no borders of messages: whoever relies on them is found.
            length = 1 + usize::try_from(random.below(rest_of.len() as u64)).unwrap_or(0);
        }
        if let Some(rate) = bandwidth {
            length = length.min(usize::try_from(rate / 20 + 1).unwrap_or(length));
            rest(Duration::from_micros(
                length as u64 * 1_000_000 / rate.max(1),
            ));
        }
        let broken = {
            let mut rules = lock(&shared.rules);
            match &mut rules.cut_after {
                Some(left) if *left <= length as u64 => {
                    length = usize::try_from(*left).unwrap_or(0);
                    rules.cut_after = None;
                    rules.happened("break-after");
                    true
                }
                Some(left) => {
                    *left -= length as u64;
                    false
                }
                None => false,
            }
        };
        // Before the far side can have them, so that nobody sees bytes that are not counted.
        shared.bytes.fetch_add(length as u64, Ordering::Relaxed);
        if to.write_all(&rest_of[..length]).is_err() {
            return false;
        }
        if broken {
            for (_, near, far) in lock(&shared.open).drain(..) {
                let _ = near.shutdown(Shutdown::Both);
                let _ = far.shutdown(Shutdown::Both);
            }
            return false;
        }
        rest_of = &rest_of[length..];
        if shared.hostile && !rest_of.is_empty() && random.below(16) == 0 {
            rest(Duration::from_millis(1 + random.below(3)));
        }
    }
    true
}
