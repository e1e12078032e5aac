"""A model's name -> weights and tokenizer, as the method needs them; and an adapter back into a model."""
