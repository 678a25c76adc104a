//! What is drawn, and for whom.

use super::*;
use crate::access::{Reason, Verdicts};
use std::time::Duration;

fn refused(reason: Reason, count: u64) -> Verdicts {
    let mut verdicts = Verdicts::default();
    verdicts.denied[reason as usize] = count;
    verdicts
}

/// A part of a page, by its identity.
fn part<'a>(page: &'a Page, id: &str) -> &'a str {
    let (_, rest) = page.html.split_once(&format!("id=\"{id}\"")).expect("it is on the page");
    rest.split("</section>").next().expect("it ends")
}

#[tokio::test]
async fn an_overview_draws_each_of_the_last_minutes_with_its_reasons() {
    let house = House::new().await;
    let owner = Browser::signed_in(&house, &house.owner).await;
    let page = owner.get("/governance/overview").await.expect(200);
    assert!(part(&page, "minutes").contains("No request with a token of yours came"));
    assert!(part(&page, "refused").contains("Nothing was refused within the last hour"));

    let ago = |minutes: u64| at(NOW).before(Duration::from_secs(60 * minutes));
    let admitted = Verdicts { permitted: 1_200, ..refused(Reason::Expired, 3) };
    house.write(Write::Verdicts(house.org, ago(2), Box::new(admitted))).await;
    let scope = refused(Reason::InsufficientScope, 40);
    house.write(Write::Verdicts(house.org, ago(59), Box::new(scope))).await;
    let before = refused(Reason::Revoked, 77);
    house.write(Write::Verdicts(house.org, ago(60), Box::new(before.clone()))).await;
    house.write(Write::Verdicts(house.other_org, ago(1), Box::new(before))).await;
    let page = owner.get("/governance/overview").await.expect(200);
    let clock = |minutes| ago(minutes).to_string()[11..16].to_owned();
    let minutes = part(&page, "minutes");
    assert!(minutes.contains(&format!("{} UTC: 1,200 admitted, 3 refused", clock(2))), "{minutes}");
    assert!(minutes.contains("<td>1,200</td><td>3 expired</td>"), "a table says the same");
    assert!(minutes.contains("<td>0</td><td>40 insufficient scope</td>"));
    assert_eq!(minutes.matches("class=\"hit\"").count(), 60);
    let reasons = part(&page, "refused");
    assert!(reasons.contains(&format!("{} UTC: 40 insufficient scope", clock(59))), "{reasons}");
    assert!(reasons.contains("insufficient scope <strong>40</strong>"));
    for other in ["revoked", "77"] {
        assert!(!minutes.contains(other) && !reasons.contains(other), "{other} is of another time");
    }
}

#[tokio::test]
async fn a_token_shows_that_somebody_goes_on_using_it_to_owners_alone() {
    let house = House::new().await;
    let (token, path) = (house.member.token, format!("/tokens/{}", house.member.token));
    let owner = Browser::signed_in(&house, &house.owner).await;
    let empty = owner.get(&path).await.expect(200);
    assert!(empty.html.contains("No request with it was refused within 35 days"));
    let today = at(NOW);
    let yesterday = today.before(Duration::from_hours(24));
    for (when, verdicts) in [
        (yesterday, refused(Reason::Deactivated, 5)),
        (today, refused(Reason::Deactivated, 2)),
        (today, refused(Reason::Superseded, 1)),
    ] {
        house.write(Write::Refused(token, when, Box::new(verdicts))).await;
    }
    let page = owner.get(&path).await.expect(200);
    let day = &today.to_string()[..10];
    assert!(page.html.contains(&format!("{day}: 2 deactivated, 1 former secret")));
    assert!(page.html.contains("deactivated <strong>7</strong>"));
    // Of another token nothing is said, and to a member neither.
    let other = owner.get(&format!("/tokens/{}", house.bystander.token)).await.expect(200);
    assert!(other.html.contains("No request with it was refused within 35 days"));
    let member = Browser::signed_in(&house, &house.member).await;
    let own = member.get(&path).await.expect(200);
    assert!(!own.html.contains("Refused a day") && !own.html.contains("former secret"));
}
