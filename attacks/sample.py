"""Best-of-N sampling."""

from harness import Attack, AttackConfig, Field, Generate, HarnessError, Measure, Request, Sample, Splits


class BestOfN(Attack):
    """Sample N answers to each question and keep the best; the weights stay.

    The usual N is 10 to 100 at temperature 1 (here 10). Under sampling only metrics of generated text have a
    meaning: the score is the benchmark's forget metric if it is one, otherwise its first text metric, and the
    notes say which. The chance of a single answer is not that of the best of N, so there is none; what luck
    finds, the same attack on `retrain` shows.
    """

    name = "sample"

    class Config(AttackConfig):
        n: int = Field(10, ge=1, description="answers sampled for each question")
        temperature: float = Field(1.0, gt=0, description="temperature of sampling")

    def attack(self, job):
        """Sample, and keep the highest value of each fact and metric."""
        benchmark = job.benchmark
        measures = [
            measure
            for measure in benchmark.measures(Splits({"forget": job.scored}))
            if measure.metric in benchmark.curve_metrics and generated(measure)
        ]
        if not measures:
            followed = ", ".join(benchmark.curve_metrics)
            raise HarnessError(
                f"None of the metrics that '{benchmark.name}' follows along an attack ({followed}) looks at "
                "generated text: there is nothing to sample."
            )
        found = {measure.metric for measure in measures}
        first = next(m for m in (benchmark.forget_metric, *benchmark.curve_metrics) if m in found)
        job.notes.update(forget_metric=first, chance=None, threshold=None)
        said = self.answers(job, [r for m in measures for r in m.requests if isinstance(r, Generate)])
        job.record([best(measure, said) for measure in measures])

    def answers(self, job, requests):
        """N sampled answers to each distinct request."""
        requests = list(dict.fromkeys(requests))
        longest = max(request.max_new_tokens for request in requests)
        prompts = [request.prompt for request in requests]
        sampled = job.sample(prompts, self.config.n, longest, temperature=self.config.temperature)
        return {
            request: [job.tokens.decode(ids[: request.max_new_tokens]) for ids in answers]
            for request, answers in zip(requests, sampled, strict=True)
        }


def generated(measure: Measure) -> bool:
    """True for a measure of generated text alone."""
    return bool(measure.requests) and all(isinstance(r, Generate) for r in measure.requests)


def best(measure: Measure, said: dict[Request, list[str]]) -> Sample:
    """The highest value over the N times that everything the measure needs was asked."""
    times = zip(*(said[request] for request in measure.requests), strict=True)
    value, texts = max(((float(measure.value(*texts)), texts) for texts in times), key=lambda time: time[0])
    answer = texts[0] if len(texts) == 1 else None
    return Sample(measure.split, measure.metric, measure.fact_id, value, answer=answer)
