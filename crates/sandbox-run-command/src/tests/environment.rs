//! What a script sees in its environment.

use super::*;

#[tokio::test]
async fn the_environment_holds_exactly_what_the_agent_sets() {
    let trial = Trial::new();
    let step = trial.run_script("env").await;
    let stdout = step["StandardOutputContent"].as_str().unwrap();
    let pairs = stdout.lines().map(|pair| pair.split_once('=').unwrap());
    // What the shell adds to every environment is not the agent's.
    let mut pairs: Vec<_> =
        pairs.filter(|(name, _)| !["PATH", "PWD", "OLDPWD", "SHLVL", "_"].contains(name)).collect();
    pairs.sort_unstable();
    let id = step["CommandId"].as_str().unwrap();
    let mut expected = [
        ("AWS_SSM_INSTANCE_ID", NODE),
        ("AWS_SSM_PLATFORM_NAME", "Sandbox"),
        ("AWS_SSM_PLATFORM_VERSION", "1"),
        ("AWS_SSM_REGION_NAME", "eu-west-1"),
        MARK,
        ("SSM_COMMAND_ID", id),
    ];
    expected.sort_unstable();
    assert_eq!(pairs, expected);
}

#[tokio::test]
async fn there_is_no_home_and_no_aws_ssm_command_id() {
    let script = "echo ${HOME-none} ${AWS_SSM_COMMAND_ID-none}";
    let step = Trial::new().run_script(script).await;
    assert_eq!(step["StandardOutputContent"], "none none\n");
}

#[tokio::test]
async fn the_platform_is_the_one_that_the_api_describes() {
    let trial = Trial::new();
    let script = "echo $AWS_SSM_PLATFORM_NAME $AWS_SSM_PLATFORM_VERSION";
    let step = trial.run_script(script).await;
    let described = trial.call("DescribeInstanceInformation", json!({})).await.unwrap();
    let node = &described["InstanceInformationList"][0];
    let text = |name: &str| node[name].as_str().unwrap().to_owned();
    let expected = format!("{} {}\n", text("PlatformName"), text("PlatformVersion"));
    assert_eq!(step["StandardOutputContent"], expected);
}
