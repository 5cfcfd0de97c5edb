"""The site: papers, claims, notebooks, documents and the library's reference as one tree of pages."""
