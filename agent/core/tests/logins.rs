//! How a refused login ends, and what the HMI shows.
#![allow(clippy::expect_used, reason = "a failed expectation is a failed test")]

use aid_agent_core::{
    Agent, BootMs, Down, Effect, Event, Id, LoginEnd, LoginOutcome, Notice, Secret, Timer,
};

fn ends(agent: &mut Agent) -> Vec<(Id, LoginEnd)> {
    let mut ends = Vec::new();
    while let Some(effect) = agent.poll_effect() {
        match effect {
            Effect::Notify(Notice::LoginRefused {
                login_id, cause, ..
            }) => ends.push((login_id, cause)),
            Effect::Persist { ticket, .. } => {
                agent.handle(BootMs(1), Event::Persisted { ticket });
            }
            _ => {}
        }
    }
    ends
}

#[test]
fn the_end_of_a_login_says_who_or_what_ended_it() {
    let mut agent = Agent::restore("test", None, &[]).expect("an empty journal");
    let login = |n: u8| Event::Login {
        login_id: [n; 16],
        user: "eva".into(),
        pin: Secret::new("4711".into()),
    };
    let at = BootMs;
    agent.handle(at(0), Event::LinkUp);
    agent.handle(at(0), login(1));
    agent.handle(at(1), login(2));
    assert_eq!(ends(&mut agent), [([1; 16], LoginEnd::Replaced)]);
    agent.handle(at(2), Event::Logout);
    assert_eq!(ends(&mut agent), [([2; 16], LoginEnd::Replaced)]);
    agent.handle(at(3), login(3));
    let body = Down::LoginResult {
        login_id: [3; 16],
        outcome: LoginOutcome::Refused {
            reason: "name or PIN is wrong".into(),
        },
    };
    let message_id = [3; 16];
    agent.handle(at(4), Event::Inbound { message_id, body });
    assert_eq!(ends(&mut agent), [([3; 16], LoginEnd::Refused)]);
    agent.handle(at(5), login(4));
    loop {
        let (at, why) = agent.poll_timeout().expect("a deadline");
        agent.handle_timeout(at);
        if why == Timer::Login {
            break;
        }
    }
    assert_eq!(ends(&mut agent), [([4; 16], LoginEnd::NoAnswer)]);
}
