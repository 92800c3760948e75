//! §4.3.1 over a life: cars of one user, and an MSP whose pool holds n profiles.

use super::*;

/// The CMP's memory and the MSP's pool.
struct Life {
    n: usize,
    pool: Vec<Iccid>,
    profiles: Vec<Profile>,
    requests: Vec<CodeRequest>,
    issued: u32,
    clock: u64,
    swaps: Vec<(Iccid, Eid)>,
}

impl Life {
    fn new(n: usize) -> Self {
        Self {
            n,
            pool: Vec::new(),
            profiles: Vec::new(),
            requests: Vec::new(),
            issued: 0,
            clock: 0,
            swaps: Vec::new(),
        }
    }

    /// The user enters a car: no code is requested where their profile is installed.
    fn enter(&mut self, car: u32) {
        self.clock += 24 * 3600 * 1000;
        let here = self
            .profiles
            .iter_mut()
            .find(|p| p.eid == eid(car) && p.status.may_be_on_card() && !p.verdict.is_final());
        if let Some(profile) = here {
            profile.last_used = self.clock;
            return;
        }
        let mut profiles = self.profiles.clone();
        profiles.sort_by_key(|p| p.last_used);
        let view = View {
            logged_in: true,
            federation: Some(federation(None)),
            requests: self.requests.clone(),
            profiles,
            ..View::default()
        };
        let asked = stored(&request(&at(self.clock), view, eid(car), fresh(), EVA));
        // The MSP: below n there is room; at n the candidate makes it.
        self.issued += 1;
        let new = iccid(1000 + self.issued);
        let swapped = if self.pool.len() < self.n {
            None
        } else {
            let candidate = asked.replace_iccid.clone().expect("a candidate at n");
            assert!(self.pool.contains(&candidate), "the MSP has the candidate");
            self.pool.retain(|i| *i != candidate);
            Some(candidate)
        };
        self.pool.push(new.clone());
        let answer = Answer::Code {
            code: "1$h$X".parse().unwrap(),
            iccid: Some(new.clone()),
            swapped: swapped.clone(),
        };
        let list = self.profiles.clone();
        let decision = answered(
            &at(self.clock),
            &asked,
            &federation(None),
            of(&list),
            answer,
        );
        for order in orders(&decision) {
            let OrderKind::Delete { iccid } = order.kind else {
                panic!("not a deletion");
            };
            assert_eq!(Some(&iccid), swapped.as_ref(), "only what was swapped goes");
            self.swaps.push((iccid, order.eid));
        }
        for change in decision.changes {
            match change {
                Change::AddProfile(p) | Change::PutProfile(p) => {
                    self.profiles.retain(|q| q.iccid != p.iccid);
                    self.profiles.push(p);
                }
                Change::PutRequest(mut r) => {
                    r.state = RequestState::Used;
                    self.requests.insert(0, r);
                }
                _ => {}
            }
        }
        let installed = self.profiles.iter_mut().find(|p| p.iccid == new).unwrap();
        installed.status = ProfileStatus::Disabled;
        installed.last_used = self.clock;
    }
}

// R-4.3.1-1 R-4.3.1-2 R-4.3.1-3 R-4.3.1-4 R-4.3.1-25
#[test]
fn a_pool_of_n_is_swapped_only_when_it_is_full() {
    for n in [1, 2, 10] {
        let mut life = Life::new(n);
        for car in 1..=u32::try_from(n).unwrap() {
            life.enter(car);
            life.enter(car);
        }
        assert!(life.swaps.is_empty(), "n = {n}: room for all, zero swaps");
        assert_eq!(life.pool.len(), n, "one in each car");
        // One car more: the profile that was not used for longest goes, from its own car.
        life.enter(100);
        assert_eq!(life.swaps, [(iccid(1001), eid(1))], "n = {n}");
        // And back in the first car: the next one.
        life.enter(1);
        let expected = if n == 1 { eid(100) } else { eid(2) };
        assert_eq!(life.swaps.last().map(|(_, car)| *car), Some(expected));
        assert_eq!(life.pool.len(), n);
    }
}

// R-4.3.1-5: use order A, B, A makes B the candidate.
#[test]
fn use_and_not_age_makes_the_candidate() {
    let mut life = Life::new(2);
    for car in [1, 2, 1, 3] {
        life.enter(car);
    }
    assert_eq!(life.swaps, [(iccid(1002), eid(2))]);
}
