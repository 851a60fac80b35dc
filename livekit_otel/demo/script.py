"""The text of the demo call: the caller's sentences and the agent's answers."""

from __future__ import annotations

__all__ = ["order_sentence"]

QUESTION = "where is my order number seven"
STORY = "please tell me the history of your company"
BARGE_IN = "stop thank you very much"
GOODBYE = "that is all thank you and goodbye"
#: everything the caller can say, which is also everything the recognizer has to recognize
SENTENCES = (QUESTION, STORY, BARGE_IN, GOODBYE)

INSTRUCTIONS = (
    "You answer the telephone of a small flower shop. Be friendly and brief. Look orders up with the order_status tool."
)
GREETING = "Hello, this is the flower shop. How can I help you?"
HISTORY = (
    "With pleasure. Our company was founded a long time ago by two sisters who loved tulips more than anything. "
    "They began with a single cart on the market square, and soon the whole town came to buy their flowers. "
    "Then they opened a shop, and then another one, and after that a garden with a glass house."
)
APOLOGY = "Of course. Is there anything else?"
FAREWELL = "Thank you for calling. Goodbye."
UNKNOWN = "I am sorry, I did not understand that."


def order_sentence(result: str) -> str:
    """The answer that follows from the tool's result."""
    return f"I have looked it up. {result}"
