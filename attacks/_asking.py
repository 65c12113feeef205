"""Prompts that are changed at their question, and words that stay one token wherever they are put."""

from dataclasses import replace

from harness import HarnessError


def asking(facts, change):
    """Rewrites requests: ``change(question)`` takes the place of the fact's question within each prompt.

    A prompt in which none of the questions stands is changed as a whole.
    """
    questions = sorted({fact.question for fact in facts if fact.question}, key=len, reverse=True)

    def ask(request):
        text = request.prompt.text
        asked = next((question for question in questions if question in text), text)
        changed = text.replace(asked, change(asked)) if asked else change(asked)
        return replace(request, prompt=replace(request.prompt, text=changed))

    return ask


def whole_words(tokenizer):
    """By id, ascending: words of letters that are this one token behind any other word."""
    special = set(tokenizer.all_special_ids)
    ids = [token for token in range(len(tokenizer)) if token not in special]
    words = [word.strip() for word in tokenizer.batch_decode([[token] for token in ids])]
    found = {token: word for token, word in zip(ids, words, strict=True) if word.isalpha()}
    thrice = tokenizer([f"{word} {word} {word}" for word in found.values()], add_special_tokens=False)
    return {
        token: word
        for (token, word), encoded in zip(found.items(), thrice.input_ids, strict=True)
        if encoded[-2:] == [token, token] and len(encoded) == 3
    }


def text_of(suffix, words):
    """The suffix as it is typed."""
    return " ".join(words[token] for token in suffix)


def with_suffix(job, facts, suffix, words):
    """The facts as texts to train on with the suffix behind the question, and where in each it begins.

    Raises HarnessError where the tokenizer makes other tokens of it there.
    """
    typed = text_of(suffix, words)
    texts = job.encode([replace(fact, question=f"{fact.question} {typed}", passage="") for fact in facts])
    size = len(suffix)
    places = []
    for prompt, _ in texts:
        at = [i for i in range(len(prompt) - size + 1) if list(prompt[i : i + size]) == suffix]
        if not at:
            raise HarnessError(
                f"The tokenizer cuts '{typed}' otherwise behind a question: it cannot be put there."
            )
        places.append(at[-1])
    return texts, places
