//! What the acknowledgement of a call costs.

use super::*;

/// Calls that are made one after the other.
const CALLS: u128 = 20;

// The answer about a call that its target has carried out costs one commit.
#[tokio::test]
async fn a_success_costs_the_commit_that_accepts_the_call() {
    for place in places().await {
        let store = &place.store;
        let pair = pair("m0/c0");
        let key = token(&pair, 1);
        introduce(store, &pair, key, 1, true).await;
        let before = store.commits();
        let answer = Answer::done(StatusCode::CREATED);
        let mut successes = Vec::new();
        for n in 0..CALLS {
            let begun = store.begin(new(UPDATE, &pair, key, 100 + n)).await;
            successes.push(Success {
                id: id_of(begun.unwrap()),
                answer: answer.clone(),
            });
        }
        assert_eq!(u128::from(store.commits() - before), CALLS);
        // They are noted together, with the meter.
        let noted = store.write_back(successes.clone(), Meter::default(), 2000);
        noted.await.unwrap();
        assert_eq!(u128::from(store.commits() - before), CALLS + 1);
        for (n, success) in (0..CALLS).zip(&successes) {
            let again = store.begin(new(UPDATE, &pair, key, 100 + n)).await;
            assert_eq!(again.unwrap(), Begun::Answered(answer.clone()));
            let row = store.call(success.id).await.unwrap().unwrap();
            assert_eq!((row.path.as_str(), row.body), ("", None));
        }
    }
}

// Killed before the success was noted: the call is made once more, under the same id, and can be noted still.
#[tokio::test]
async fn a_success_that_was_not_noted_is_delivered_again() {
    for place in places().await {
        let store = &place.store;
        let pair = pair("m0/c0");
        let key = token(&pair, 1);
        introduce(store, &pair, key, 1, true).await;
        let id = id_of(store.begin(new(UPDATE, &pair, key, 2)).await.unwrap());
        assert_eq!(store.adopt(i64::MAX, 2000).await.unwrap(), 1);
        let again = due(store, "c0", 2000).await;
        assert_eq!((again.len(), again[0].request_id), (1, Uuid::from_u128(2)));
        let answer = Answer::done(StatusCode::CREATED);
        let success = Success { id, answer };
        let noted = store.write_back(vec![success], Meter::default(), 3000);
        noted.await.unwrap();
        let row = store.call(id).await.unwrap().unwrap();
        assert_eq!(row.state, CallState::Done);
    }
}
