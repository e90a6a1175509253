"""gristmill.proxy_models"""
