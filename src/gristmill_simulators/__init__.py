"""Simulators of LlamaCloud, OpenAI and Supabase Storage: plain servers for anybody's client."""
