"""What runs blocks: the image, built here or promoted from where it was tested, and the app deployed with it."""

import pulumi

from infra.components.executor_secrets import ExecutorSecrets
from infra.components.options import child
from infra.resources import App, Environment, Image
from infra.settings import Settings
from infra.source import app_hash, image_hash, image_name


class ExecutorApp(pulumi.ComponentResource):
    """The app, and its image where the stack doesn't name a published one."""

    def __init__(
        self,
        settings: Settings,
        environment: Environment,
        secrets: ExecutorSecrets,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("custom-blocks:index:ExecutorApp", "executor", {}, opts)
        self._settings = settings
        facts = settings.facts
        self.app = App(
            facts.app,
            environment=environment.name,
            settings=settings.definition_variables,
            secrets=[secret.name for secret in secrets.secrets],
            image_tag=settings.image_tag or self._image(environment).tag,
            source_hash=app_hash(),
            versions={name: str(facts.versions[name]) for name in ("contract", "modal")},
            opts=child(self, protect=settings.protect, needs=[secrets]),
        )
        self.register_outputs({})

    @property
    def promotable_tag(self) -> pulumi.Output[str]:
        """Name of the image, as another stack's `imageTag` has it."""
        return self.app.image_tag.apply(lambda tag: tag if "/" in tag else f"{self._settings.environment}/{tag}")

    def _image(self, environment: Environment) -> Image:
        """Its name is made of what it holds: another image is another resource.

        This one stays published then, for stacks that were promoted to it.
        """
        settings = self._settings
        digest = image_hash(settings.image_variables, settings.facts.versions)
        tag = image_name(settings.facts.app, settings.app["inference_version"], digest)
        return Image(
            tag,
            environment=environment.name,
            settings=settings.image_variables,
            source_hash=digest,
            opts=child(self, retain=True),
        )
