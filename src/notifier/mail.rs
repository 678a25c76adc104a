//! Mails: what they say, and the server that takes them.

use crate::config::{Authorities, Smtp, SmtpTls};
use crate::id::{OrgId, UserId};
use crate::notice::template::{Mail, Templates, Values, headline};
use crate::notice::{About, Notice, Outcome};
use crate::store::{Ledger, StoreError};
use crate::time::Timestamp;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{Address, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use std::time::{Duration, SystemTime};

/// A mail takes so many of the server's answers at most: greeting, hello, TLS, hello again, login in
/// three steps, sender, recipient, content twice.
const ANSWERS_MAX: u32 = 12;

/// The server that mails are given to.
pub struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    patience: Duration,
}

/// Why no mail could ever be given to a server.
#[derive(Debug, thiserror::Error)]
#[error("cannot prepare TLS for the mail server: {0}")]
pub struct UnusableServer(lettre::transport::smtp::Error);

impl Mailer {
    /// Prepares for a server. Nothing is connected to yet.
    pub fn new(smtp: &Smtp) -> Result<Self, UnusableServer> {
        let host = &smtp.server.host;
        let tls = match &smtp.tls {
            SmtpTls::None => Tls::None,
            SmtpTls::StartTls(authorities) => Tls::Required(parameters(host, authorities)?),
            SmtpTls::Tls(authorities) => Tls::Wrapper(parameters(host, authorities)?),
        };
        let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)
            .port(smtp.server.port)
            .tls(tls)
            .timeout(Some(smtp.timeout));
        if let Some(login) = &smtp.login {
            let password = login.password.as_str().to_owned();
            transport = transport.credentials(Credentials::new(login.user.clone(), password));
        }
        Ok(Self {
            transport: transport.build(),
            from: smtp.from.clone(),
            patience: smtp.timeout.saturating_mul(ANSWERS_MAX),
        })
    }

    /// Gives a letter to the server.
    pub(super) async fn send(&self, letter: &Letter, now: Timestamp) -> Outcome {
        let message = match self.message(letter, now) {
            Ok(message) => message,
            Err(error) => return Outcome::Refused(format!("no mail can be made of it: {error}")),
        };
        match tokio::time::timeout(self.patience, self.transport.send(message)).await {
            Ok(Ok(_response)) => Outcome::Delivered,
            Ok(Err(error)) if is_final(&error) => Outcome::Refused(super::told(&error)),
            Ok(Err(error)) => Outcome::Failed(super::told(&error)),
            Err(_elapsed) => Outcome::Failed("the mail server took too long".to_owned()),
        }
    }

    fn message(&self, letter: &Letter, now: Timestamp) -> Result<Message, lettre::error::Error> {
        let domain = self.from.email.domain();
        let automatic = HeaderName::new_from_ascii_str("Auto-Submitted");
        let millis = u64::try_from(now.millis()).unwrap_or(0);
        Message::builder()
            .from(self.from.clone())
            .to(letter.to.clone())
            .subject(letter.mail.subject.clone())
            // The same at every attempt, so that a mailbox which has it already drops it.
            .message_id(Some(format!("<{}@{domain}>", letter.delivery)))
            .date(SystemTime::UNIX_EPOCH + Duration::from_millis(millis))
            // RFC 3834 section 5: nobody's absence note shall answer.
            .raw_header(HeaderValue::new(automatic, "auto-generated".to_owned()))
            .multipart(MultiPart::alternative_plain_html(
                letter.mail.text.clone(),
                letter.mail.html.clone(),
            ))
    }
}

fn parameters(host: &str, authorities: &Authorities) -> Result<TlsParameters, UnusableServer> {
    let mut builder = TlsParameters::builder(host.to_owned());
    if let Authorities::Also(pem) = authorities {
        let certificate = Certificate::from_pem(pem).map_err(UnusableServer)?;
        builder = builder.add_root_certificate(certificate);
    }
    builder.build_rustls().map_err(UnusableServer)
}

/// Whether the server says that the receiver's address leads nowhere and never will, rather than
/// something of us, of itself, or of a mailbox that is full. Its reply code does not tell these apart
/// (RFC 5321 section 4.2.3: 550 is "not found" as well as "rejected for policy reasons"), its enhanced
/// status code does (RFC 3463 section 3.2). So a reply without one is never final: to ask a few times more
/// does less harm than to give up what somebody has to know.
fn is_final(error: &lettre::transport::smtp::Error) -> bool {
    let said = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    error.is_permanent() && leads_nowhere(&said)
}

/// Whether the text of a reply begins with a code of these: no such mailbox, no such system, no valid
/// address, moved without a trace, a system that takes no mail (RFC 7505). Others of the same group
/// are about the sender.
fn leads_nowhere(reply: &str) -> bool {
    let code = reply.split_whitespace().next().unwrap_or_default();
    matches!(code, "5.1.1" | "5.1.2" | "5.1.3" | "5.1.6" | "5.1.10")
}

/// A mail that is written and has an addressee.
pub(super) struct Letter {
    to: Mailbox,
    mail: Mail,
    delivery: String,
}

impl Letter {
    /// Writes what a notice says to a user, by the name and the address that they have now.
    pub(super) fn write(
        ledger: &dyn Ledger,
        notice: &Notice,
        user: UserId,
        templates: &Templates,
    ) -> Result<Self, Outcome> {
        let unreadable = |error: StoreError| Outcome::Failed(error.to_string());
        let says = &notice.says;
        let found = ledger.user(user).map_err(unreadable)?;
        let Some(recipient) = found.filter(|user| user.org == says.org) else {
            return Err(Outcome::Refused("the user was removed".to_owned()));
        };
        let address: Address = recipient.email.parse().map_err(|_unspecific| {
            Outcome::Refused("the user's address is none that mail can be sent to".to_owned())
        })?;
        let organization = super::organization(ledger, says.org).map_err(unreadable)?;
        let by = match says.by {
            None => "Bearward".to_owned(),
            Some(by) => person(ledger, says.org, by).map_err(unreadable)?,
        };
        let (id, name) = match &says.about {
            About::Token(id, name) => (id.to_string(), name.clone()),
            About::User(id, name) => (id.to_string(), name.clone()),
            About::Organization => (says.org.to_string(), organization.clone()),
        };
        let mut values = Values::default();
        values.set("headline", headline(says.kind, &says.about));
        values.set("kind", says.kind.name());
        values.set("organization", organization);
        values.set("name", name);
        values.set("id", id);
        values.set("at", says.at.to_string());
        values.set("by", by);
        values.set("reason", says.reason.as_deref().unwrap_or_default());
        values.set("recipient", &recipient.name);
        values.set("notice", super::delivery(notice.id));
        for detail in &says.details {
            values.detail(&detail.field, &detail.text);
        }
        let mail = templates.mail(says.kind, &values);
        let to = Mailbox::new(Some(recipient.name), address);
        Ok(Self { to, mail, delivery: super::delivery(notice.id) })
    }
}

/// Who did it, for people. Somebody of another organization (the operator) is not named.
fn person(ledger: &dyn Ledger, org: OrgId, id: UserId) -> Result<String, StoreError> {
    Ok(match ledger.user(id)? {
        Some(user) if user.org == org => format!("{} ({})", user.name, user.email),
        Some(_) => "the operator".to_owned(),
        None => format!("a user who was removed since ({id})"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_address_that_leads_nowhere_is_final() {
        for reply in [
            "5.1.1 no such mailbox",
            "5.1.2 unknown host",
            "5.1.3",
            "5.1.6 moved",
            "5.1.10 RESOLVER.ADR.RecipientNotFound; not found",
            " 5.1.1\ntwo lines",
        ] {
            assert!(leads_nowhere(reply), "{reply}");
        }
        for reply in [
            "",
            "no such mailbox",
            "<a@b>: 5.1.1 somewhere else in it",
            "5.1.0 sender rejected",
            "5.1.7 bad sender",
            "5.1.8 bad sender's system",
            "5.1.11 nobody knows",
            "5.2.1 disabled",
            "5.2.2 over quota",
            "5.7.1 relaying denied",
            "4.1.1 not now",
        ] {
            assert!(!leads_nowhere(reply), "{reply}");
        }
    }
}
