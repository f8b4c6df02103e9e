//! The answers of STS.

use crate::credentials::Credentials;

/// The credentials in the answer of `AssumeRole`.
pub fn credentials(xml: &str) -> Option<Credentials> {
    let document = roxmltree::Document::parse(xml).ok()?;
    let text = |name: &str| {
        let element = document.descendants().find(|node| node.tag_name().name() == name)?;
        element.text().map(str::to_owned)
    };
    Some(Credentials {
        access_key_id: text("AccessKeyId")?,
        secret_access_key: text("SecretAccessKey")?,
        session_token: Some(text("SessionToken")?),
    })
}

/// The name of the role in the answer of `AssumeRole`.
pub fn assumed_role(xml: &str) -> Option<String> {
    let document = roxmltree::Document::parse(xml).ok()?;
    let mut texts = document.descendants().filter_map(|node| node.text());
    // arn:aws:sts::123456789012:assumed-role/NAME/SESSION
    let (_, session) = texts.find_map(|text| text.split_once(":assumed-role/"))?;
    Some(session.split_once('/')?.0.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{assumed_role, credentials};

    #[test]
    fn the_role_is_in_the_arn_of_the_session() {
        let arn = "arn:aws:sts::123456789012:assumed-role/reader/me";
        let xml = format!("<R><AssumedRoleUser><Arn>{arn}</Arn></AssumedRoleUser></R>");
        assert_eq!(assumed_role(&xml).as_deref(), Some("reader"));
        assert_eq!(assumed_role("<R/>"), None);
    }

    #[test]
    fn credentials_are_found_in_the_answer() {
        let xml = r#"<R xmlns="https://sts/"><Credentials><AccessKeyId>A</AccessKeyId>
            <SecretAccessKey>B</SecretAccessKey><SessionToken>C</SessionToken></Credentials></R>"#;
        let found = credentials(xml).expect("credentials");
        assert_eq!([found.access_key_id, found.secret_access_key], ["A", "B"]);
        assert_eq!(found.session_token.as_deref(), Some("C"));
        assert!(credentials("<R/>").is_none());
    }
}
