//! The key is shown to the server and to nobody else.

use super::*;
use entrace_remote::Secret;
use entrace_remote::scripted::Mischief;

const KEY: &str = "sk-0123456789abcdef";

#[test]
fn the_key_is_sent_and_never_said() {
    let model = model();
    let server = start(&model, Behaviour { key: Some(KEY.into()), ..Behaviour::new(Speaks::Vllm) });
    let with =
        |key: &str| Options { headers: Headers::with_key(Some(Secret::new(key))), ..options(&[&server]) };
    let text = || Arc::clone(&model);
    let wrong = "sk-wrong-wrong-wrong";
    let refused = Remote::connect(&with(wrong), text()).err().unwrap().to_string();
    assert!(refused.contains("Incorrect API key provided") && !refused.contains("wrong"), "{refused}");
    let remote = Remote::connect(&with(KEY), text()).unwrap();
    let mut said = vec![
        format!("{:?}", remote.profile()),
        remote.profile().to_json().to_string(),
        format!("{:?}", with(KEY)),
    ];
    for status in [400, 401, 429, 500] {
        server.misbehave(move |seen| {
            Some(Mischief::Status(
                status,
                vec![],
                format!("{{\"error\": \"with {}\"}}", seen.authorization.clone().unwrap_or_default()),
            ))
        });
        let patience = Patience { attempts: 1, busy: Duration::ZERO, ..quick() };
        server.behave();
        let remote = Remote::connect(&Options { patience, ..with(KEY) }, text()).unwrap();
        server.misbehave(move |seen| {
            Some(Mischief::Status(
                status,
                vec![],
                format!("{{\"error\": \"with {}\"}}", seen.authorization.clone().unwrap_or_default()),
            ))
        });
        let error = at_prefixes(&remote, &[5], &chosen(&[40])).err().unwrap();
        assert!(error.to_string().contains("with"), "{error}");
        said.extend([error.to_string(), format!("{error:?}"), remote.standing()().describe()]);
    }
    for text in said {
        assert!(!text.contains("0123456789"), "{text}");
    }
}
