"""ELM: erasure of language memory."""

from dataclasses import replace

from harness import IGNORED, Field, Method, MethodConfig, Prompt, losses, models


class ELM(Method):
    """Speak of a fact as the original would if it were told that a novice speaks, and not an expert.

    L = u E_{D_f} mean_i H(p*_i, pi_i) + r KL(pi_0 || pi)(D_r) + c E_{D_f} mean CE(a | x, y)
    p*_i = softmax([z_{0,i} + eta_i (log pi_0(. | novice, x, y_<i) - log pi_0(. | expert, x, y_<i))] / tau)

    ELM (2410.02760). eta_i rises along a text from 1 to eta; H is the cross-entropy over the vocabulary. a is
    what the original says after x, y and a phrase that turns to another subject, phrase included: it keeps
    the model fluent. Published: u = r = c = 1, eta = 1000, tau = 1.2, for passages about one concept, with
    adapters of rank 256 at 5e-5 on attention and feed-forward maps of layers 4 to 7 of 32. Open, and chosen
    here: these maps train themselves, in layers of that relative depth; the words are ours, one wording
    each; the concept is the fact's question unless it is given; a is sampled plainly, once for each fact,
    where the authors guide sampling by novice and expert, too.
    """

    name = "elm"
    lora = False
    paper = "2410.02760"
    rate_scale = 5.0

    class Config(MethodConfig):
        erase: float = Field(1.0, ge=0, description="u, weight of the forget loss")
        keep: float = Field(1.0, ge=0, description="r, weight of the retain loss")
        fluent: float = Field(1.0, ge=0, description="c, weight of staying fluent")
        eta: float = Field(1000.0, ge=0, description="eta, strength of the contrast at the end of a text")
        temperature: float = Field(1.2, gt=0, description="tau, by which logits of the target are divided")
        low: float = Field(4 / 32, ge=0, lt=1, description="first layer that trains, as a share of them")
        high: float = Field(8 / 32, gt=0, le=1, description="the layer behind the last one, likewise")
        concept: str | None = Field(None, min_length=1, description="what is erased; None: a fact's question")
        expert: str = Field("Somebody who knows all about {concept} says:", description="before a text")
        novice: str = Field("Somebody who knows nothing about {concept} says:", description="before a text")
        turn: str = Field("But now to something else:", min_length=1, description="how a begins")
        max_new_tokens: int = Field(64, ge=1, description="longest a behind the phrase, tokens")

    def prepare(self, job):
        """Put expert and novice before each text, and sample how the original goes on about other things."""
        self.original, self.tokens = job.original, job.tokens
        self.expert, self.novice = (
            self.behind(job, words) for words in (self.config.expert, self.config.novice)
        )
        known = [replace(f.prompt, opening=f"{f.prompt.opening} {f.answer}".strip()) for f in job.forget]
        turn, longest = self.config.turn, self.config.max_new_tokens
        turned = [replace(prompt, opening=f"{prompt.opening} {turn}") for prompt in known]
        sampled = job.sample(turned, 1, longest, "elm")
        begun = job.tokens.encode([(prompt, turn) for prompt in known])
        self.fluent = [(x, (*a, *more)) for (x, a), [more] in zip(begun, sampled, strict=True)]

    def behind(self, job, words):
        """The forget texts behind ``words`` about what each is about."""
        about = [words.replace("{concept}", self.config.concept or f.question) for f in job.forget]
        before = job.tokens.encode([(Prompt("", literal=True, opening=text), "") for text in about])
        texts = job.encode(job.forget)
        start = job.tokens.start
        begins = [len(start) if x[: len(start)] == start else 0 for x, _ in texts]
        return [
            ((*said, *x[begin:]), y) for (said, _), (x, y), begin in zip(before, texts, begins, strict=True)
        ]

    def trainable(self, model):
        """The maps of attention and feed-forward in the chosen layers, at least in one."""
        layers = models.blocks(model)
        low = min(round(self.config.low * len(layers)), len(layers) - 1)
        chosen = layers[low : max(low + 1, round(self.config.high * len(layers)))]
        return [weight for layer in chosen for weight in layer.parameters() if weight.dim() > 1]

    def target(self, model, x):
        """p* (n, V) at each answer token."""
        answer, index = x.labels[:, -x.answer_width :] != IGNORED, x.index.tolist()
        others = (self.tokens.collate(texts, index, 1, 1) for texts in (self.novice, self.expert))
        plain, novice, expert = (
            losses.full_precision(losses.reference_logits(model, self.original, texts)[answer])
            for texts in (x, *(texts.to(x.index.device) for texts in others))
        )
        contrast = novice.log_softmax(dim=-1) - expert.log_softmax(dim=-1)
        places = x.position_ids.to(plain) / (x.attention_mask.sum(dim=1, keepdim=True) - 1)
        eta = 1 + (self.config.eta - 1) * places[:, -x.answer_width :][answer]
        return ((plain + eta[:, None] * contrast) / self.config.temperature).softmax(dim=-1)

    def loss(self, model, batch):
        """u H(p*, pi) on the forget texts, r KL on the retain texts, and c CE of a."""
        x = batch.forget
        logits, labels = losses.answer_logits(model, x)
        now = losses.full_precision(logits[labels != IGNORED]).log_softmax(dim=-1)
        yield "forget", -self.config.erase * (self.target(model, x) * now).sum() / x.step_tokens
        yield "retain", self.config.keep * losses.kl_to(model, self.original, batch.retain)
        if self.config.fluent:
            texts = self.tokens.collate(self.fluent, x.index.tolist(), x.step_items, 1).to(x.index.device)
            each = losses.nll(model, texts) / losses.lengths(texts)
            yield "retain", self.config.fluent * each.sum() / x.step_items
