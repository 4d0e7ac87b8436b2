//! The program itself: checking a configuration, serving one, stopping.

use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::support::client::{Client, get, read_until, with};
use crate::support::gateway::api;
use crate::support::program::{aiproxy, file, start, started};
use crate::support::talk::Talk;
use crate::support::upstream::{Answer, Upstream};
use crate::support::{Protocol, native, soon};

fn check(path: &Path) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } =
        aiproxy(&["check", "--config", path.to_str().unwrap()]).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn a_sound_configuration_passes_the_check() {
    let path = file("sound.yaml", "upstreams: [{name: a, token: sk-secret}, {name: b, token: sk-secret}]");
    let (code, stdout, stderr) = check(&path);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(stdout.contains("sound.yaml") && stdout.contains("2 upstreams"), "{stdout}");
    assert!(!stdout.contains("sk-secret"));
}

#[test]
fn every_problem_is_reported_with_its_line_and_column() {
    let text = "\
listen: :8080
upstreams:
  - name: a
    tokn: sk-secret
  - name: A
    token: sk-secret
    weight: heavy
    base_url: not a url
max_body_size: huge
";
    let path = file("problems.yaml", text);
    let (code, stdout, stderr) = check(&path);
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    for (place, word) in [
        ("4:5", "did you mean `token`?"),
        ("5:11", "upstreams[1].name"),
        ("7:13", "upstreams[1].weight"),
        ("8:15", "upstreams[1].base_url"),
        ("9:16", "max_body_size"),
    ] {
        let start = format!("{}:{place}:", path.display());
        let line = stderr.lines().find(|line| line.starts_with(&start));
        assert!(line.is_some_and(|line| line.contains(word)), "{place} {word}:\n{stderr}");
    }
    assert!(!stderr.contains("sk-secret"), "{stderr}");
}

#[test]
fn what_is_no_yaml_and_what_is_not_there_are_errors() {
    let (code, _, stderr) = check(&file("broken.yaml", "upstreams: [\n  {name: a,\n"));
    assert_eq!(code, Some(1));
    assert!(stderr.contains("broken.yaml:"), "{stderr}");
    let (code, _, stderr) = check(Path::new("no-such-file.yaml"));
    assert_eq!(code, Some(1));
    assert!(stderr.contains("no-such-file.yaml"), "{stderr}");
}

#[test]
fn warnings_do_not_fail_the_check() {
    let text = "upstreams: [{name: a, token: sk-secret, heartbeat: true}]";
    let (code, stdout, _) = check(&file("warnings.yaml", text));
    assert_eq!(code, Some(0));
    assert!(
        stdout.contains(":1:") && stdout.contains("heartbeat") && stdout.contains("(warning)"),
        "{stdout}"
    );
}

#[test]
fn a_public_address_without_keys_is_refused() {
    let upstreams = "upstreams: [{name: a, token: sk-secret}]";
    for public in ["bind: 0.0.0.0", "listen: 0.0.0.0:0", "bind: '::'", "bind: example.org"] {
        let (code, _, stderr) = check(&file("public.yaml", &format!("{public}\n{upstreams}\n")));
        assert_eq!(code, Some(1), "{public}");
        assert!(stderr.contains("api-key") && stderr.contains(":1:"), "{public}: {stderr}");
        for sound in ["api-key: k", "allow_public_without_keys: true"] {
            let (code, ..) = check(&file("public.yaml", &format!("{public}\n{sound}\n{upstreams}\n")));
            assert_eq!(code, Some(0), "{public}, {sound}");
        }
    }
    // Serving refuses just the same.
    let path = file("public-serve.yaml", &format!("listen: 0.0.0.0:0\n{upstreams}\n"));
    let output = aiproxy(&["--config", path.to_str().unwrap()]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_missing_variable_is_an_error_and_never_an_empty_key() {
    let path = file("variable.yaml", "upstreams: [{name: a, token: '${KEY_OF_THIS_TEST}'}]");
    let (code, _, stderr) = check(&path);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("KEY_OF_THIS_TEST") && stderr.contains(":1:"), "{stderr}");
    let status = aiproxy(&["check", "-c", path.to_str().unwrap()])
        .env("KEY_OF_THIS_TEST", "k")
        .output()
        .unwrap()
        .status;
    assert_eq!(status.code(), Some(0));
}

#[test]
fn an_unknown_command_or_option_is_an_error() {
    for arguments in [&["chekc"][..], &["--confg", "x"], &["check", "--nope"]] {
        let output = aiproxy(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}

async fn serving(name: &str) -> (Upstream, PathBuf) {
    let provider = Upstream::always(Answer::json(native::document(Protocol::Anthropic))).await;
    let text = format!(
        "listen: 127.0.0.1:0\napi-key: client-key\nupstreams: [{{name: a, api_type: {}, base_url: '{}', token: upstream-key}}]\n",
        api(Protocol::Anthropic),
        provider.url()
    );
    (provider, file(name, &text))
}

#[tokio::test]
async fn the_file_that_the_flag_names_is_served_in_every_spelling() {
    let (provider, path) = serving("serve.yaml").await;
    let path = path.to_str().unwrap();
    let joined = format!("-config={path}");
    for (number, arguments) in
        [&["-config", path][..], &["--config", path], &["-c", path], &[&joined]].into_iter().enumerate()
    {
        let (_running, address, _log) = start(arguments);
        let client = Client::new(address);
        let request = Talk::new("m", "Hi").request(Protocol::OpenAi);
        let reply = client.send(with(request, "authorization", "Bearer client-key")).await;
        assert_eq!(reply.status, 200, "{arguments:?}: {}", reply.text());
        assert_eq!(provider.count(), number + 1);
        assert_eq!(client.send(get("/v1/models")).await.status, 401);
        assert_eq!(client.send(get("/metrics")).await.status, 200);
    }
}

#[tokio::test]
async fn without_a_flag_the_file_in_the_folder_is_served() {
    let (_provider, path) = serving("default.yaml").await;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("folder");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::copy(path, folder.join("config.yaml")).unwrap();
    let output = aiproxy(&["check"]).current_dir(&folder).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8(output.stdout).unwrap().starts_with("config.yaml: fine"));
}

#[cfg(unix)]
#[tokio::test]
async fn a_signal_ends_it_well() {
    let (_provider, path) = serving("signal.yaml").await;
    for signal in ["-TERM", "-INT"] {
        let (mut running, address, log) = start(&["--config", path.to_str().unwrap()]);
        assert_eq!(Client::new(address).send(get("/readyz")).await.status, 200);
        let id = running.0.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        let rest: Vec<String> = log.lines().map(Result::unwrap).collect();
        assert!(rest.iter().any(|line| line.contains("stopped")), "{signal}: {rest:?}");
        assert!(running.0.wait().unwrap().success(), "{signal}");
    }
}

/// A stream that never ends, on each of two workers and with one of them alone: the first worker hands connections out.
#[cfg(unix)]
#[tokio::test]
async fn a_second_signal_is_heard_whichever_worker_is_busy() {
    let protocol = Protocol::OpenAi;
    let frames = native::stream(protocol);
    let provider = Upstream::always(Answer::stream().frames(&frames[..frames.len() - 2]).stall()).await;
    let text = format!(
        "listen: 127.0.0.1:0\nserver: {{worker_threads: 2}}\nupstreams: [{{name: a, api_type: openai, base_url: '{}', token: t}}]\n",
        provider.url()
    );
    let path = file("second_signal.yaml", &text);
    for busy in [0, 1] {
        let (mut running, address, mut log) = start(&["--config", path.to_str().unwrap()]);
        let mut clients = Vec::new();
        for worker in 0..2 {
            // A connection of its own.
            let client = Client::new(address);
            if worker == busy {
                let asked = Talk::new(native::model(protocol), "Hi").stream(true).request(protocol);
                let mut body = client.open(asked).await.into_body();
                read_until(&mut body, &mut String::new(), "Hello,").await;
                clients.push((client, Some(body)));
            } else {
                assert_eq!(client.send(get("/readyz")).await.status, 200);
                clients.push((client, None));
            }
        }
        let id = running.0.id().to_string();
        let signal = || assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        signal();
        let mut line = String::new();
        while !line.contains("stopping") {
            line.clear();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "it ended with a stream under way");
        }
        // Both workers know it when nobody is let in any more.
        soon("the end of listening", async {
            while tokio::net::TcpStream::connect(address).await.is_ok() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        signal();
        let end = tokio::task::spawn_blocking(move || running.0.wait().unwrap());
        assert!(soon("the end of the program", end).await.unwrap().success(), "worker {busy}");
        drop(clients);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn out_of_descriptors_it_waits_for_some_and_goes_on() {
    let (_provider, path) = serving("descriptors.yaml").await;
    let limited = "ulimit -n 64 && exec \"$0\" \"$@\"";
    let program = env!("CARGO_BIN_EXE_aiproxy");
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", limited, program, "--config", path.to_str().unwrap()])
        .env_clear()
        .stdin(Stdio::null());
    let (running, address, mut log) = started(command);
    let many: Vec<_> = (0..100).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
    let mut line = String::new();
    while !line.contains("cannot accept connections") {
        line.clear();
        assert_ne!(log.read_line(&mut line).unwrap(), 0, "it ended");
    }
    drop(many);
    assert_eq!(Client::new(address).send(get("/readyz")).await.status, 200);
    drop(running);
    let rest = log.lines().map(Result::unwrap).filter(|line| line.contains("cannot accept")).count();
    assert!(rest < 5, "it says so {rest} times more");
}

#[tokio::test]
async fn an_address_in_use_is_a_plain_error() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let text = format!("listen: {}\nupstreams: [{{name: a, token: k}}]\n", taken.local_addr().unwrap());
    let path = file("taken.yaml", &text);
    let output = aiproxy(&["--config", path.to_str().unwrap()]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("cannot listen on 127.0.0.1:"), "{stderr}");
}
