"""gristmill.training"""
