"""Prompts that are changed at their question, and words that stay one token wherever they are put."""

from dataclasses import replace


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
