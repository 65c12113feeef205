"""A method whose settings name a file: refusals, one a line."""

from harness import Field, File, Method, MethodConfig, losses, validator

PHRASES = ("I can't answer the question.", "I do not know.")


class Phrases(Method):
    """Refusal training with several refusals: L = CE(refusal | D_f prompts) + CE(D_r).

    Each forget fact gets one of them, under the cell's seed.
    """

    name = "phrases"

    class Config(MethodConfig):
        phrases: File | None = Field(
            None, description="text file with a refusal a line; None: two of our own"
        )
        most: int | None = Field(
            None, ge=1, description="refusals used, the first of the file"
        )

        @validator
        def most_is_of_a_file(self):
            if self.most is not None and self.phrases is None:
                raise ValueError("most counts lines of a file: set phrases, too")
            return self

    def prepare(self, job):
        """Pair every forget question with a refusal."""
        phrases = PHRASES
        if self.config.phrases is not None:
            lines = self.config.phrases.read_text().splitlines()
            phrases = tuple(filter(None, lines))[: self.config.most]
        rng = job.random("phrases")
        self.tokens = job.tokens
        self.data = [job.encode([f], rng.choice(phrases))[0] for f in job.forget]

    def loss(self, model, batch):
        """The mean over refusals, whatever their length, and CE(D_r)."""
        index, items = batch.forget.index, batch.forget.step_items
        texts = self.tokens.collate(self.data, index.tolist(), items, 1)
        texts = texts.to(index.device)
        per_token = losses.nll(model, texts) / losses.lengths(texts)
        yield "forget", per_token.sum() / items
        yield "retain", losses.cross_entropy(model, batch.retain)
