//! Exemptions, as a browser meets them.

use super::*;
use crate::store::Validations as _;

const PATH: &str = "/governance/exemptions";

fn known(house: &House) -> Vec<crate::exemption::Exemption> {
    house.store.exemptions(house.org).expect("readable")
}

#[tokio::test]
async fn an_exemption_is_granted_seen_and_ended() {
    let house = House::new().await;
    let owner = Browser::signed_in(&house, &house.owner).await;
    let page = owner.get(PATH).await.expect(200);
    assert!(page.html.contains("Nobody is exempt"));
    let token = house.bystander.token.to_string();
    // The form begins with the token that somebody came from.
    let page = owner.get(&format!("{PATH}?token={token}")).await.expect(200);
    assert!(page.html.contains(&format!("value=\"{token}\"")));
    let fields = [
        ("token", &*token),
        ("policy", "max_ttl"),
        ("days", "9"),
        ("reason", "until the <audit> is over"),
    ];
    let page = owner.post(PATH, &fields).await.expect(303);
    let page = owner.get(page.location()).await.expect(200);
    assert!(page.html.contains("role=\"status\"") && page.html.contains("in 9 days"));
    assert!(page.html.contains("until the &#60;audit&#62; is over"), "{}", page.html);
    assert!(page.html.contains(&format!("/tokens/{token}")));
    let user = house.member.user.to_string();
    owner.post(PATH, &[("user", &*user), ("policy", "idle_ttl"), ("days", "1")]).await.expect(303);
    // Made at one instant, they are in no order.
    let mut granted = known(&house);
    granted.sort_by_key(|exemption| matches!(exemption.exempt, crate::exemption::Exempt::User(_)));
    let [first, second] = &granted[..] else { panic!("two were granted") };
    assert_eq!(first.exempt, crate::exemption::Exempt::Token(house.bystander.token));
    assert_eq!(second.exempt, crate::exemption::Exempt::User(house.member.user));
    assert_eq!(second.created_by, house.owner.user);

    let end = format!("{PATH}/{}/end", first.id);
    let page = owner.post(&end, &[]).await.expect(303);
    owner.get(page.location()).await.expect(200);
    assert_eq!(known(&house).len(), 1);
    owner.post(&end, &[]).await.expect(404);
    let told = actions(&house);
    let times = |action: &str| told.iter().filter(|found| *found == action).count();
    assert_eq!((times("exemption.granted"), times("exemption.withdrawn")), (2, 1));
}

#[tokio::test]
async fn what_is_wrong_with_an_exemption_is_said_and_stays_typed() {
    let house = House::new().await;
    let owner = Browser::signed_in(&house, &house.owner).await;
    let user = house.member.user.to_string();
    let token = house.member.token.to_string();
    let good = [("user", &*user), ("policy", "idle_ttl"), ("days", "5"), ("reason", "kept text")];
    for (field, wrong) in
        [("days", "0"), ("days", "367"), ("days", "many"), ("policy", "none"), ("user", "nobody")]
    {
        let mut fields = good.to_vec();
        fields.retain(|(name, _)| *name != field);
        fields.push((field, wrong));
        let page = owner.post(PATH, &fields).await.expect(400);
        assert!(page.html.contains("role=\"alert\""), "{field}");
        assert!(page.html.contains("value=\"kept text\""), "{field}");
    }
    for fields in [&good[1..], &[&good[..], &[("token", &*token)]].concat()] {
        let page = owner.post(PATH, fields).await.expect(400);
        assert!(page.html.contains("role=\"alert\""));
    }
    assert!(known(&house).is_empty());
    // As in the API: admins look, owners grant, others do neither.
    let admin = Browser::signed_in(&house, &house.admin).await;
    let page = admin.get(PATH).await.expect(200);
    assert!(!page.html.contains("Grant"));
    admin.post(PATH, &good).await.expect(403);
    let member = Browser::signed_in(&house, &house.member).await;
    member.post(PATH, &good).await.expect(403);
    assert!(known(&house).is_empty());
    owner.post(PATH, &good).await.expect(303);
    let end = format!("{PATH}/{}/end", known(&house)[0].id);
    admin.post(&end, &[]).await.expect(403);
    Browser::signed_in(&house, &house.outsider).await.post(&end, &[]).await.expect(404);
    assert_eq!(known(&house).len(), 1);
}

#[tokio::test]
async fn without_a_mail_server_the_settings_say_that_nobody_is_warned() {
    const HINT: &str = "This gateway knows no mail server";
    for has_mail in [true, false] {
        let house = House::with_mail(has_mail).await;
        let owner = Browser::signed_in(&house, &house.owner).await;
        let hints = || async {
            owner.get("/governance/settings").await.expect(200).html.matches(HINT).count()
        };
        // By the choice of each policy, and on top as long as one is enforced.
        assert_eq!(hints().await, if has_mail { 0 } else { 2 });
        let week = json!({"value": 7, "unit": "days"});
        let max = json!({"active": true, "value": 30, "unit": "days",
            "enforcement": {"deactivate_after": week}});
        let put = house.ask("PUT", &house.at("/policies")).by(&house.owner);
        put.json(&json!({"max_ttl": max})).send().await.expect(200);
        assert_eq!(hints().await, if has_mail { 0 } else { 3 });
    }
}
