//! A [`World`] that a function uses and its test goes on looking at.

use callback::output::Output;
use callback::ports::{
    AnswerReceipt, CallError, CommandListing, CommandPage, Outputs, PageToken, Pulse,
};
use callback::testing::world::World;
use callback::{Command, CommandId, InstanceId, Invocation, RunCommand, TaskToken, Tasks};

/// Either port of a function. A function owns its ports, and a world is both of them.
pub(crate) struct LentWorld<'a>(pub(crate) &'a World);

impl RunCommand for LentWorld<'_> {
    async fn command(&self, id: &CommandId) -> Result<Option<Command>, CallError> {
        self.0.command(id).await
    }

    async fn invocations(
        &self,
        id: &CommandId,
        outputs: Outputs,
    ) -> Result<Vec<Invocation>, CallError> {
        self.0.invocations(id, outputs).await
    }

    async fn invocation(
        &self,
        id: &CommandId,
        instance_id: &InstanceId,
    ) -> Result<Option<Invocation>, CallError> {
        self.0.invocation(id, instance_id).await
    }

    async fn output(
        &self,
        id: &CommandId,
        instance_id: &InstanceId,
        plugin_name: &str,
    ) -> Result<Output, CallError> {
        self.0.output(id, instance_id, plugin_name).await
    }

    async fn commands(
        &self,
        listing: &CommandListing,
        page: Option<&PageToken>,
    ) -> Result<CommandPage, CallError> {
        self.0.commands(listing, page).await
    }

    async fn cancel(&self, id: &CommandId) -> Result<(), CallError> {
        self.0.cancel(id).await
    }
}

impl Tasks for LentWorld<'_> {
    async fn succeed(&self, token: &TaskToken, output: &str) -> Result<AnswerReceipt, CallError> {
        self.0.succeed(token, output).await
    }

    async fn fail(
        &self,
        token: &TaskToken,
        error: &str,
        cause: &str,
    ) -> Result<AnswerReceipt, CallError> {
        self.0.fail(token, error, cause).await
    }

    async fn heartbeat(&self, token: &TaskToken) -> Result<Pulse, CallError> {
        self.0.heartbeat(token).await
    }
}
