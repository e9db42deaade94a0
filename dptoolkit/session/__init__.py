"""View-models and the server behind the apps; nothing here imports Panel when it is imported."""
