<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE TS>
<TS version="2.1" language="de" sourcelanguage="en">
 <context>
  <name>UrbanFM</name>
  <message>
   <source> or </source>
   <translation> oder </translation>
  </message>
  <message>
   <source>A network reads points of interest or imagery: give one of them.</source>
   <translation>Ein Netz liest POIs oder Bilder: Geben Sie eines davon an.</translation>
  </message>
  <message>
   <source>A score raster needs an embedding raster.</source>
   <translation>Ein Raster der Werte braucht ein Embedding-Raster.</translation>
  </message>
  <message>
   <source>A search in the pixels of a raster writes their scores: name a score raster.</source>
   <translation>Eine Suche in den Pixeln eines Rasters schreibt deren Werte: Benennen Sie ein Raster der Werte.</translation>
  </message>
  <message>
   <source>Add example models to the toolbox</source>
   <translation>Beispielmodelle zur Werkzeugkiste hinzufügen</translation>
  </message>
  <message>
   <source>Algorithm</source>
   <translation>Verfahren</translation>
  </message>
  <message>
   <source>Analysis</source>
   <translation>Analyse</translation>
  </message>
  <message>
   <source>As the package index offers it (may bring GPU libraries of several GB)</source>
   <translation>Wie der Paketindex sie anbietet (kann GPU-Bibliotheken von mehreren GB mitbringen)</translation>
  </message>
  <message>
   <source>Attention heads</source>
   <translation>Aufmerksamkeitsköpfe</translation>
  </message>
  <message>
   <source>Attention maps</source>
   <translation>Aufmerksamkeitskarten</translation>
  </message>
  <message>
   <source>Attention on the points' own patches</source>
   <translation>Aufmerksamkeit auf den Bildfeldern der Punkte selbst</translation>
  </message>
  <message>
   <source>Attention raster</source>
   <translation>Aufmerksamkeitsraster</translation>
  </message>
  <message>
   <source>Back to the region before</source>
   <translation>Zurück zur vorigen Region</translation>
  </message>
  <message>
   <source>Bands for red, green and blue</source>
   <translation>Bänder für Rot, Grün und Blau</translation>
  </message>
  <message>
   <source>Batch size</source>
   <translation>Stapelgröße</translation>
  </message>
  <message>
   <source>Beams</source>
   <translation>Strahlen (Beam Search)</translation>
  </message>
  <message>
   <source>Best region</source>
   <translation>Beste Region</translation>
  </message>
  <message>
   <source>Best regions to list</source>
   <translation>Beste Regionen in der Liste</translation>
  </message>
  <message>
   <source>Blocks</source>
   <translation>Blöcke</translation>
  </message>
  <message>
   <source>Buildings</source>
   <translation>Gebäude</translation>
  </message>
  <message>
   <source>CPU only (small)</source>
   <translation>Nur CPU (klein)</translation>
  </message>
  <message>
   <source>CRS of a table</source>
   <translation>KBS einer Tabelle</translation>
  </message>
  <message>
   <source>Cache folder</source>
   <translation>Zwischenspeicher-Ordner</translation>
  </message>
  <message>
   <source>Cancel</source>
   <translation>Abbrechen</translation>
  </message>
  <message>
   <source>Cancelled. What was finished is kept, and the next run goes on from there.</source>
   <translation>Abgebrochen. Was fertig war, bleibt erhalten; der nächste Lauf macht dort weiter.</translation>
  </message>
  <message>
   <source>Cancelled; nothing was left behind.</source>
   <translation>Abgebrochen; nichts wurde zurückgelassen.</translation>
  </message>
  <message>
   <source>Cannot write {}: {}</source>
   <translation>{} kann nicht geschrieben werden: {}</translation>
  </message>
  <message>
   <source>Caption</source>
   <translation>Beschreibung</translation>
  </message>
  <message>
   <source>Caption field</source>
   <translation>Feld der Beschreibung</translation>
  </message>
  <message>
   <source>Captioner</source>
   <translation>Beschreibungsmodell</translation>
  </message>
  <message>
   <source>Captions</source>
   <translation>Beschreibungen</translation>
  </message>
  <message>
   <source>Categories</source>
   <translation>Kategorien</translation>
  </message>
  <message>
   <source>Category field</source>
   <translation>Feld der Kategorie</translation>
  </message>
  <message>
   <source>Changes to the preset</source>
   <translation>Änderungen an der Voreinstellung</translation>
  </message>
  <message>
   <source>Check environment</source>
   <translation>Umgebung prüfen</translation>
  </message>
  <message>
   <source>Checkpoint</source>
   <translation>Checkpoint</translation>
  </message>
  <message>
   <source>Choose a Python interpreter</source>
   <translation>Python-Interpreter wählen</translation>
  </message>
  <message>
   <source>Choose a field of the layer</source>
   <translation>Ein Feld des Layers wählen</translation>
  </message>
  <message>
   <source>Choose a folder</source>
   <translation>Ordner wählen</translation>
  </message>
  <message>
   <source>Choose a layer first</source>
   <translation>Wählen Sie zuerst einen Layer</translation>
  </message>
  <message>
   <source>Choose a layer of points under Sources to count them here.</source>
   <translation>Wählen Sie unter Quellen einen Punktlayer, um die Punkte hier zu zählen.</translation>
  </message>
  <message>
   <source>Choose imagery under Sources to see the region.</source>
   <translation>Wählen Sie unter Quellen Bilddaten, um die Region zu sehen.</translation>
  </message>
  <message>
   <source>Choose regions: take their layer as chosen regions with 'selected features only', or give ids or drawn polygons.</source>
   <translation>Wählen Sie Regionen: ihren Layer als gewählte Regionen mit 'nur gewählte Objekte', oder geben Sie Kennungen oder gezeichnete Polygone an.</translation>
  </message>
  <message>
   <source>Chosen regions</source>
   <translation>Gewählte Regionen</translation>
  </message>
  <message>
   <source>Click a region of {} on the map, or select one.</source>
   <translation>Klicken Sie auf der Karte eine Region von {} an, oder wählen Sie eine aus.</translation>
  </message>
  <message>
   <source>Click regions on the map</source>
   <translation>Regionen auf der Karte anklicken</translation>
  </message>
  <message>
   <source>Cloud-Optimized GeoTIFF</source>
   <translation>Cloud-Optimized GeoTIFF</translation>
  </message>
  <message>
   <source>Cluster regions</source>
   <translation>Regionen gruppieren (Cluster)</translation>
  </message>
  <message>
   <source>Cluster {}</source>
   <translation>Cluster {}</translation>
  </message>
  <message>
   <source>Clusters</source>
   <translation>Cluster</translation>
  </message>
  <message>
   <source>Columns of the vectors</source>
   <translation>Spalten der Vektoren</translation>
  </message>
  <message>
   <source>Compared with</source>
   <translation>Verglichen mit</translation>
  </message>
  <message>
   <source>Comparisons with a floor that no embedding wins</source>
   <translation>Vergleiche mit einem einfachen Merkmal, das kein Embedding schlägt</translation>
  </message>
  <message>
   <source>Compression</source>
   <translation>Kompression</translation>
  </message>
  <message>
   <source>Connected clusters</source>
   <translation>Zusammenhängende Cluster</translation>
  </message>
  <message>
   <source>Connected clusters are not for HDBSCAN: take k-means.</source>
   <translation>Zusammenhängende Cluster gibt es bei HDBSCAN nicht: Nehmen Sie K-Means.</translation>
  </message>
  <message>
   <source>Create grid regions</source>
   <translation>Gitterregionen erzeugen</translation>
  </message>
  <message>
   <source>Data: a generated city that exists nowhere, made by UrbanFM {}. Coordinates: EPSG:32625.</source>
   <translation>Daten: eine erzeugte Stadt, die es nirgends gibt, gemacht mit UrbanFM {}. Koordinaten: EPSG:32625.</translation>
  </message>
  <message>
   <source>Describe regions</source>
   <translation>Regionen beschreiben</translation>
  </message>
  <message>
   <source>Described regions</source>
   <translation>Beschriebene Regionen</translation>
  </message>
  <message>
   <source>Descriptions of the regions</source>
   <translation>Beschreibungen der Regionen</translation>
  </message>
  <message>
   <source>Device</source>
   <translation>Rechengerät</translation>
  </message>
  <message>
   <source>Dimensions of the embedding</source>
   <translation>Dimensionen des Embeddings</translation>
  </message>
  <message>
   <source>Distance between windows</source>
   <translation>Abstand der Fenster</translation>
  </message>
  <message>
   <source>Done.</source>
   <translation>Fertig.</translation>
  </message>
  <message>
   <source>Embed points of interest</source>
   <translation>Points of Interest einbetten</translation>
  </message>
  <message>
   <source>Embed raster</source>
   <translation>Raster einbetten</translation>
  </message>
  <message>
   <source>Embed regions</source>
   <translation>Regionen einbetten</translation>
  </message>
  <message>
   <source>Embedding raster</source>
   <translation>Embedding-Raster</translation>
  </message>
  <message>
   <source>Embeddings</source>
   <translation>Embeddings</translation>
  </message>
  <message>
   <source>Epoch whose weights are kept</source>
   <translation>Epoche, deren Gewichte behalten werden</translation>
  </message>
  <message>
   <source>Epochs</source>
   <translation>Epochen</translation>
  </message>
  <message>
   <source>Evaluate embeddings</source>
   <translation>Embeddings bewerten</translation>
  </message>
  <message>
   <source>Example, with the files of the sample city</source>
   <translation>Beispiel, mit den Dateien der Beispielstadt</translation>
  </message>
  <message>
   <source>Explain</source>
   <translation>Erklären</translation>
  </message>
  <message>
   <source>Extent to cover</source>
   <translation>Abzudeckende Ausdehnung</translation>
  </message>
  <message>
   <source>Failed; nothing was left behind.</source>
   <translation>Fehlgeschlagen; nichts wurde zurückgelassen.</translation>
  </message>
  <message>
   <source>Feature {}</source>
   <translation>Objekt {}</translation>
  </message>
  <message>
   <source>Feature {} cannot be written to {}: {}</source>
   <translation>Objekt {} kann nicht nach {} geschrieben werden: {}</translation>
  </message>
  <message>
   <source>Fewest regions of a cluster</source>
   <translation>Kleinste Zahl von Regionen eines Clusters</translation>
  </message>
  <message>
   <source>Field of the caption</source>
   <translation>Feld der Beschreibung</translation>
  </message>
  <message>
   <source>Field of the category</source>
   <translation>Feld der Kategorie</translation>
  </message>
  <message>
   <source>Fields</source>
   <translation>Felder</translation>
  </message>
  <message>
   <source>Fields to describe by</source>
   <translation>Felder zum Beschreiben</translation>
  </message>
  <message>
   <source>Files of several cities</source>
   <translation>Dateien mehrerer Städte</translation>
  </message>
  <message>
   <source>Find similar regions</source>
   <translation>Ähnliche Regionen finden</translation>
  </message>
  <message>
   <source>Fine-tuned checkpoint</source>
   <translation>Feinabgestimmter Checkpoint</translation>
  </message>
  <message>
   <source>Fine-tuning needs a trained ReFound or UrbanCLIP: give its checkpoint.</source>
   <translation>Zum Feinabstimmen ist ein trainiertes ReFound oder UrbanCLIP nötig: Geben Sie seinen Checkpoint an.</translation>
  </message>
  <message>
   <source>First score: R2, AUC, F1 or KL</source>
   <translation>Erstes Maß: R2, AUC, F1 oder KL</translation>
  </message>
  <message>
   <source>Folder</source>
   <translation>Ordner</translation>
  </message>
  <message>
   <source>Folds</source>
   <translation>Teile der Kreuzvalidierung</translation>
  </message>
  <message>
   <source>Further features of regions</source>
   <translation>Weitere Merkmale der Regionen</translation>
  </message>
  <message>
   <source>Fusion</source>
   <translation>Verschmelzung</translation>
  </message>
  <message>
   <source>Give either a layer to cover or an extent, and not both.</source>
   <translation>Geben Sie entweder einen Layer zum Abdecken an oder eine Ausdehnung, nicht beides.</translation>
  </message>
  <message>
   <source>Give embeddings, or regions to score the floors of.</source>
   <translation>Geben Sie Embeddings an, oder Regionen, um die Vergleichsmerkmale zu bewerten.</translation>
  </message>
  <message>
   <source>Give it this run's '{}' as '{}'.</source>
   <translation>Geben Sie ihm aus diesem Lauf '{}' als '{}'.</translation>
  </message>
  <message>
   <source>Give one that the captions come from: a checkpoint, a captioner, or a file of captions.</source>
   <translation>Geben Sie eines an, woher die Beschreibungen kommen: einen Checkpoint, ein Beschreibungsmodell oder eine Datei mit Beschreibungen.</translation>
  </message>
  <message>
   <source>Give region embeddings to predict from.</source>
   <translation>Geben Sie die Embeddings der Regionen an, aus denen vorhergesagt wird.</translation>
  </message>
  <message>
   <source>Give region embeddings, or an embedding raster, to search in.</source>
   <translation>Geben Sie Embeddings der Regionen oder ein Embedding-Raster an, in denen gesucht wird.</translation>
  </message>
  <message>
   <source>Give regions, or a raster or points to lay a grid of regions over.</source>
   <translation>Geben Sie Regionen an, oder ein Raster oder Punkte, über die ein Gitter von Regionen gelegt wird.</translation>
  </message>
  <message>
   <source>Give the raster to embed: an embedding raster, or imagery for a model of pictures.</source>
   <translation>Geben Sie das Raster an: ein Embedding-Raster, oder Bilddaten für ein Modell, das Bilder liest.</translation>
  </message>
  <message>
   <source>Give the regions that the captions belong to.</source>
   <translation>Geben Sie die Regionen an, zu denen die Beschreibungen gehören.</translation>
  </message>
  <message>
   <source>Give the regions to predict for.</source>
   <translation>Geben Sie die Regionen an, für die vorhergesagt wird.</translation>
  </message>
  <message>
   <source>Grid cell shape</source>
   <translation>Form der Gitterzellen</translation>
  </message>
  <message>
   <source>Grid cell size</source>
   <translation>Größe der Gitterzellen</translation>
  </message>
  <message>
   <source>Grid regions</source>
   <translation>Gitterregionen</translation>
  </message>
  <message>
   <source>Guiding words</source>
   <translation>Leitende Wörter</translation>
  </message>
  <message>
   <source>HDBSCAN finds the number of clusters itself: leave it open, or give the fewest regions of a cluster.</source>
   <translation>HDBSCAN findet die Zahl der Cluster selbst: Lassen Sie sie offen, oder geben Sie die kleinste Zahl von Regionen eines Clusters an.</translation>
  </message>
  <message>
   <source>Help</source>
   <translation>Hilfe</translation>
  </message>
  <message>
   <source>Higher than</source>
   <translation>Höher als</translation>
  </message>
  <message>
   <source>Higher than: share of the layer's regions with a lower value.</source>
   <translation>Höher als: Anteil der Regionen des Layers mit einem kleineren Wert.</translation>
  </message>
  <message>
   <source>Id field of the embeddings</source>
   <translation>Kennungsfeld der Embeddings</translation>
  </message>
  <message>
   <source>Id field of the labels</source>
   <translation>Kennungsfeld der bekannten Werte</translation>
  </message>
  <message>
   <source>Id field of the other city</source>
   <translation>Kennungsfeld der anderen Stadt</translation>
  </message>
  <message>
   <source>Id field of the points</source>
   <translation>ID-Feld der Punkte</translation>
  </message>
  <message>
   <source>Id of a region</source>
   <translation>Kennung einer Region</translation>
  </message>
  <message>
   <source>Ids of the chosen regions</source>
   <translation>Kennungen der gewählten Regionen</translation>
  </message>
  <message>
   <source>Imagery</source>
   <translation>Bilddaten</translation>
  </message>
  <message>
   <source>Import checkpoint</source>
   <translation>Checkpoint importieren</translation>
  </message>
  <message>
   <source>Indicator</source>
   <translation>Indikator</translation>
  </message>
  <message>
   <source>Indicators</source>
   <translation>Indikatoren</translation>
  </message>
  <message>
   <source>Inputs</source>
   <translation>Eingaben</translation>
  </message>
  <message>
   <source>Inspect checkpoint</source>
   <translation>Checkpoint ansehen</translation>
  </message>
  <message>
   <source>Installing PyTorch</source>
   <translation>PyTorch wird installiert</translation>
  </message>
  <message>
   <source>Installing the packages</source>
   <translation>Die Pakete werden installiert</translation>
  </message>
  <message>
   <source>Interpreter</source>
   <translation>Interpreter</translation>
  </message>
  <message>
   <source>JSON of the architecture</source>
   <translation>JSON der Architektur</translation>
  </message>
  <message>
   <source>Last loss</source>
   <translation>Letzter Verlust</translation>
  </message>
  <message>
   <source>Last loss, if a model was trained</source>
   <translation>Letzter Verlust, falls ein Modell trainiert wurde</translation>
  </message>
  <message>
   <source>Layer of regions</source>
   <translation>Layer der Regionen</translation>
  </message>
  <message>
   <source>Layer to cover</source>
   <translation>Abzudeckender Layer</translation>
  </message>
  <message>
   <source>Learning rate</source>
   <translation>Lernrate</translation>
  </message>
  <message>
   <source>Legend</source>
   <translation>Legende</translation>
  </message>
  <message>
   <source>Level of the intervals</source>
   <translation>Niveau der Intervalle</translation>
  </message>
  <message>
   <source>Log: {}</source>
   <translation>Protokoll: {}</translation>
  </message>
  <message>
   <source>Longest caption</source>
   <translation>Längste Beschreibung</translation>
  </message>
  <message>
   <source>Made with Python</source>
   <translation>Erstellt mit Python</translation>
  </message>
  <message>
   <source>Making the environment</source>
   <translation>Die Umgebung wird angelegt</translation>
  </message>
  <message>
   <source>Map picture</source>
   <translation>Kartenbild</translation>
  </message>
  <message>
   <source>Mean silhouette</source>
   <translation>Mittlere Silhouette</translation>
  </message>
  <message>
   <source>Method</source>
   <translation>Methode</translation>
  </message>
  <message>
   <source>Method of the checkpoint</source>
   <translation>Methode des Checkpoints</translation>
  </message>
  <message>
   <source>Model</source>
   <translation>Modell</translation>
  </message>
  <message>
   <source>Models</source>
   <translation>Modelle</translation>
  </message>
  <message>
   <source>Moran's I of the residuals</source>
   <translation>Morans I der Residuen</translation>
  </message>
  <message>
   <source>More embeddings</source>
   <translation>Weitere Embeddings</translation>
  </message>
  <message>
   <source>Most clusters to try</source>
   <translation>Höchste Zahl von Clustern, die versucht wird</translation>
  </message>
  <message>
   <source>Most similar region</source>
   <translation>Ähnlichste Region</translation>
  </message>
  <message>
   <source>Most similar regions</source>
   <translation>Ähnlichste Regionen</translation>
  </message>
  <message>
   <source>Most similar to the regions that were searched for</source>
   <translation>Den gesuchten Regionen am ähnlichsten</translation>
  </message>
  <message>
   <source>Most typical of the chosen regions</source>
   <translation>Typischste der gewählten Regionen</translation>
  </message>
  <message>
   <source>Name field</source>
   <translation>Namensfeld</translation>
  </message>
  <message>
   <source>Name what to predict: a field of the regions, or a raster to sum.</source>
   <translation>Nennen Sie, was vorhergesagt werden soll: ein Feld der Regionen, oder ein Raster, das summiert wird.</translation>
  </message>
  <message>
   <source>Name what to predict: a field of the regions.</source>
   <translation>Nennen Sie, was vorhergesagt werden soll: ein Feld der Regionen.</translation>
  </message>
  <message>
   <source>Names of the categories</source>
   <translation>Namen der Kategorien</translation>
  </message>
  <message>
   <source>New environment</source>
   <translation>Neue Umgebung</translation>
  </message>
  <message>
   <source>Not needed: packages come from the internet</source>
   <translation>Nicht nötig: Die Pakete kommen aus dem Internet</translation>
  </message>
  <message>
   <source>Not ready. {}</source>
   <translation>Nicht bereit. {}</translation>
  </message>
  <message>
   <source>Number format</source>
   <translation>Zahlenformat</translation>
  </message>
  <message>
   <source>Number of clusters</source>
   <translation>Anzahl der Cluster</translation>
  </message>
  <message>
   <source>Number of points of interest</source>
   <translation>Anzahl der Points of Interest</translation>
  </message>
  <message>
   <source>Number of regions</source>
   <translation>Anzahl der Regionen</translation>
  </message>
  <message>
   <source>Number of samples</source>
   <translation>Anzahl der Beispiele</translation>
  </message>
  <message>
   <source>Number of weights</source>
   <translation>Anzahl der Gewichte</translation>
  </message>
  <message>
   <source>Numbers relative to their city</source>
   <translation>Zahlen im Verhältnis zu ihrer Stadt</translation>
  </message>
  <message>
   <source>Offline folder of wheels</source>
   <translation>Offline-Ordner mit Wheels</translation>
  </message>
  <message>
   <source>One column per dimension</source>
   <translation>Eine Spalte je Dimension</translation>
  </message>
  <message>
   <source>Open a layer of regions, or run 'Embed regions'. Plugins &gt; UrbanFM has a sample city to try.</source>
   <translation>Öffnen Sie einen Layer mit Regionen, oder starten Sie 'Regionen einbetten'. Unter Erweiterungen &gt; UrbanFM gibt es eine Beispielstadt zum Ausprobieren.</translation>
  </message>
  <message>
   <source>Open sample city</source>
   <translation>Beispielstadt öffnen</translation>
  </message>
  <message>
   <source>Or give a checkpoint to embed with.</source>
   <translation>Oder geben Sie einen Checkpoint zum Einbetten an.</translation>
  </message>
  <message>
   <source>Or use an existing environment</source>
   <translation>Oder eine vorhandene Umgebung verwenden</translation>
  </message>
  <message>
   <source>Outputs</source>
   <translation>Ausgaben</translation>
  </message>
  <message>
   <source>Path of a Python that has the packages</source>
   <translation>Pfad eines Pythons, das die Pakete hat</translation>
  </message>
  <message>
   <source>Phrase</source>
   <translation>Suchtext</translation>
  </message>
  <message>
   <source>Picture of the region</source>
   <translation>Bild der Region</translation>
  </message>
  <message>
   <source>Pictures are described: give the imagery.</source>
   <translation>Beschrieben werden Bilder: Geben Sie Bilddaten an.</translation>
  </message>
  <message>
   <source>Pixel rule</source>
   <translation>Pixelregel</translation>
  </message>
  <message>
   <source>Pixels with data</source>
   <translation>Pixel mit Daten</translation>
  </message>
  <message>
   <source>Point embeddings</source>
   <translation>Embeddings der Punkte</translation>
  </message>
  <message>
   <source>Point embeddings (GeoParquet)</source>
   <translation>Embeddings der Punkte (GeoParquet)</translation>
  </message>
  <message>
   <source>Points of interest</source>
   <translation>Points of Interest (POIs)</translation>
  </message>
  <message>
   <source>Points of interest of the other city</source>
   <translation>POIs der anderen Stadt</translation>
  </message>
  <message>
   <source>Points with attention</source>
   <translation>Punkte mit Aufmerksamkeit</translation>
  </message>
  <message>
   <source>Points without a vector</source>
   <translation>Punkte ohne Vektor</translation>
  </message>
  <message>
   <source>Precision</source>
   <translation>Genauigkeit</translation>
  </message>
  <message>
   <source>Predict indicators</source>
   <translation>Indikatoren vorhersagen</translation>
  </message>
  <message>
   <source>Predicted regions</source>
   <translation>Vorhergesagte Regionen</translation>
  </message>
  <message>
   <source>Predicted regions (GeoParquet)</source>
   <translation>Vorhergesagte Regionen (GeoParquet)</translation>
  </message>
  <message>
   <source>Prediction</source>
   <translation>Vorhersage</translation>
  </message>
  <message>
   <source>Preset</source>
   <translation>Voreinstellung</translation>
  </message>
  <message>
   <source>Probes</source>
   <translation>Prüfmodelle</translation>
  </message>
  <message>
   <source>Profiles</source>
   <translation>Profile</translation>
  </message>
  <message>
   <source>Prompt</source>
   <translation>Anweisung</translation>
  </message>
  <message>
   <source>Published checkpoint</source>
   <translation>Veröffentlichter Checkpoint</translation>
  </message>
  <message>
   <source>PyTorch</source>
   <translation>PyTorch</translation>
  </message>
  <message>
   <source>Quantisation</source>
   <translation>Quantisierung</translation>
  </message>
  <message>
   <source>Ranked regions</source>
   <translation>Regionen nach Rang</translation>
  </message>
  <message>
   <source>Raster to sum as a label</source>
   <translation>Zu summierendes Raster als bekannter Wert</translation>
  </message>
  <message>
   <source>Reading the vectors: {} %</source>
   <translation>Die Vektoren werden gelesen: {} %</translation>
  </message>
  <message>
   <source>Reading {:,}/{:,} features</source>
   <translation>{:,}/{:,} Objekte werden gelesen</translation>
  </message>
  <message>
   <source>Ready to run</source>
   <translation>Bereit</translation>
  </message>
  <message>
   <source>Region embeddings</source>
   <translation>Embeddings der Regionen</translation>
  </message>
  <message>
   <source>Region embeddings (GeoParquet)</source>
   <translation>Embeddings der Regionen (GeoParquet)</translation>
  </message>
  <message>
   <source>Region embeddings (raster)</source>
   <translation>Embeddings der Regionen (Raster)</translation>
  </message>
  <message>
   <source>Region embeddings of another city</source>
   <translation>Embeddings der Regionen einer anderen Stadt</translation>
  </message>
  <message>
   <source>Region id field</source>
   <translation>Kennungsfeld der Regionen</translation>
  </message>
  <message>
   <source>Region inspector</source>
   <translation>Regionen-Inspektor</translation>
  </message>
  <message>
   <source>Region {}: {}</source>
   <translation>Region {}: {}</translation>
  </message>
  <message>
   <source>Regions</source>
   <translation>Regionen</translation>
  </message>
  <message>
   <source>Regions in no cluster</source>
   <translation>Regionen in keinem Cluster</translation>
  </message>
  <message>
   <source>Regions in the report</source>
   <translation>Regionen im Bericht</translation>
  </message>
  <message>
   <source>Regions learned from</source>
   <translation>Regionen, aus denen gelernt wurde</translation>
  </message>
  <message>
   <source>Regions outside of what was learned from</source>
   <translation>Regionen außerhalb dessen, woraus gelernt wurde</translation>
  </message>
  <message>
   <source>Regions that are ranked</source>
   <translation>Regionen in der Rangfolge</translation>
  </message>
  <message>
   <source>Regions to list</source>
   <translation>Regionen in der Liste</translation>
  </message>
  <message>
   <source>Regions with a caption</source>
   <translation>Regionen mit Beschreibung</translation>
  </message>
  <message>
   <source>Regions with a prediction</source>
   <translation>Regionen mit Vorhersage</translation>
  </message>
  <message>
   <source>Regions with attention</source>
   <translation>Regionen mit Aufmerksamkeit</translation>
  </message>
  <message>
   <source>Regions with labels</source>
   <translation>Regionen mit bekannten Werten</translation>
  </message>
  <message>
   <source>Regions without a vector</source>
   <translation>Regionen ohne Vektor</translation>
  </message>
  <message>
   <source>Regions without data</source>
   <translation>Regionen ohne Daten</translation>
  </message>
  <message>
   <source>Report on similar regions</source>
   <translation>Bericht über ähnliche Regionen</translation>
  </message>
  <message>
   <source>Report on the attention</source>
   <translation>Bericht über die Aufmerksamkeit</translation>
  </message>
  <message>
   <source>Report on the captions</source>
   <translation>Bericht über die Beschreibungen</translation>
  </message>
  <message>
   <source>Report on the checkpoint</source>
   <translation>Bericht über den Checkpoint</translation>
  </message>
  <message>
   <source>Report on the clusters</source>
   <translation>Bericht über die Cluster</translation>
  </message>
  <message>
   <source>Report on the embeddings</source>
   <translation>Bericht über die Embeddings</translation>
  </message>
  <message>
   <source>Report on the environment</source>
   <translation>Bericht über die Umgebung</translation>
  </message>
  <message>
   <source>Report on the prediction</source>
   <translation>Bericht über die Vorhersage</translation>
  </message>
  <message>
   <source>Report on the raster</source>
   <translation>Bericht über das Raster</translation>
  </message>
  <message>
   <source>Report on the scores</source>
   <translation>Bericht über die Bewertung</translation>
  </message>
  <message>
   <source>Report on the search</source>
   <translation>Bericht über die Suche</translation>
  </message>
  <message>
   <source>Report on the training</source>
   <translation>Bericht über das Training</translation>
  </message>
  <message>
   <source>Requests a minute</source>
   <translation>Anfragen je Minute</translation>
  </message>
  <message>
   <source>Residual (truth - prediction)</source>
   <translation>Residuum (Wahrheit - Vorhersage)</translation>
  </message>
  <message>
   <source>Roads</source>
   <translation>Straßen</translation>
  </message>
  <message>
   <source>Rows of the points</source>
   <translation>Zeilen der Punkte</translation>
  </message>
  <message>
   <source>Rules of refinement</source>
   <translation>Regeln der Überarbeitung</translation>
  </message>
  <message>
   <source>Run 'Embed regions' and choose the layer that it makes.</source>
   <translation>Starten Sie 'Regionen einbetten' und wählen Sie den Layer, der dabei entsteht.</translation>
  </message>
  <message>
   <source>Scaling</source>
   <translation>Skalierung</translation>
  </message>
  <message>
   <source>Score of the best region</source>
   <translation>Wert der besten Region</translation>
  </message>
  <message>
   <source>Score of the most similar region</source>
   <translation>Wert der ähnlichsten Region</translation>
  </message>
  <message>
   <source>Score raster</source>
   <translation>Raster der Werte</translation>
  </message>
  <message>
   <source>Scores</source>
   <translation>Bewertungen</translation>
  </message>
  <message>
   <source>Search by text</source>
   <translation>Mit Text suchen</translation>
  </message>
  <message>
   <source>Seed</source>
   <translation>Startwert</translation>
  </message>
  <message>
   <source>Seeds</source>
   <translation>Startwerte</translation>
  </message>
  <message>
   <source>Selected points</source>
   <translation>Gewählte Punkte</translation>
  </message>
  <message>
   <source>Set up</source>
   <translation>Einrichten</translation>
  </message>
  <message>
   <source>Set up environment…</source>
   <translation>Umgebung einrichten…</translation>
  </message>
  <message>
   <source>Set up the environment in
{}

It takes about {:.0f} GB there, and some minutes. An environment that is there is replaced. Go on?</source>
   <translation>Die Umgebung einrichten in
{}

Dort werden etwa {:.0f} GB belegt, und es dauert einige Minuten. Eine Umgebung, die dort liegt, wird ersetzt. Fortfahren?</translation>
  </message>
  <message>
   <source>Settled regions from</source>
   <translation>Besiedelte Regionen ab</translation>
  </message>
  <message>
   <source>Setup</source>
   <translation>Einrichtung</translation>
  </message>
  <message>
   <source>Share of labelled regions inside their interval</source>
   <translation>Anteil der Regionen mit bekanntem Wert, die in ihrem Intervall liegen</translation>
  </message>
  <message>
   <source>Share of the prediction</source>
   <translation>Anteil der Vorhersage</translation>
  </message>
  <message>
   <source>Shares of the labels</source>
   <translation>Anteile der bekannten Werte</translation>
  </message>
  <message>
   <source>Show all {} indicators</source>
   <translation>Alle {} Indikatoren zeigen</translation>
  </message>
  <message>
   <source>Side of the windows</source>
   <translation>Seite der Fenster</translation>
  </message>
  <message>
   <source>Similar regions</source>
   <translation>Ähnliche Regionen</translation>
  </message>
  <message>
   <source>Size of a pixel</source>
   <translation>Größe eines Pixels</translation>
  </message>
  <message>
   <source>Size of the pictures</source>
   <translation>Größe der Bilder</translation>
  </message>
  <message>
   <source>Snapping of road ends</source>
   <translation>Fang der Straßenenden</translation>
  </message>
  <message>
   <source>Sources</source>
   <translation>Quellen</translation>
  </message>
  <message>
   <source>Split</source>
   <translation>Aufteilung</translation>
  </message>
  <message>
   <source>Step {}: {} {:.4g}</source>
   <translation>Schritt {}: {} {:.4g}</translation>
  </message>
  <message>
   <source>Stopping</source>
   <translation>Wird angehalten</translation>
  </message>
  <message>
   <source>Street views</source>
   <translation>Straßenbilder</translation>
  </message>
  <message>
   <source>Subcategory field</source>
   <translation>Feld der Unterkategorie</translation>
  </message>
  <message>
   <source>Summary (JSON)</source>
   <translation>Zusammenfassung (JSON)</translation>
  </message>
  <message>
   <source>Table of labels</source>
   <translation>Tabelle bekannter Werte</translation>
  </message>
  <message>
   <source>Table of scores</source>
   <translation>Tabelle der Werte</translation>
  </message>
  <message>
   <source>Tag fields</source>
   <translation>Tag-Felder</translation>
  </message>
  <message>
   <source>Target</source>
   <translation>Zielgröße</translation>
  </message>
  <message>
   <source>Targets</source>
   <translation>Zielgrößen</translation>
  </message>
  <message>
   <source>Task</source>
   <translation>Aufgabe</translation>
  </message>
  <message>
   <source>Text encoder</source>
   <translation>Text-Encoder</translation>
  </message>
  <message>
   <source>The Python named by {} is not there: {}. {}</source>
   <translation>Das von {} genannte Python gibt es nicht: {}. {}</translation>
  </message>
  <message>
   <source>The algorithm was not prepared.</source>
   <translation>Der Algorithmus wurde nicht vorbereitet.</translation>
  </message>
  <message>
   <source>The extent has no coordinate reference system. Add it in brackets: xmin,xmax,ymin,ymax [EPSG:4326]</source>
   <translation>Der Ausdehnung fehlt das Koordinatenbezugssystem. Fügen Sie es in Klammern an: xmin,xmax,ymin,ymax [EPSG:4326]</translation>
  </message>
  <message>
   <source>The fewest regions of a cluster are for HDBSCAN: choose it, or leave them open.</source>
   <translation>Die kleinste Zahl von Regionen eines Clusters gilt für HDBSCAN: Wählen Sie es, oder lassen Sie sie offen.</translation>
  </message>
  <message>
   <source>The imagery does not reach the region.</source>
   <translation>Die Bilddaten reichen nicht bis zur Region.</translation>
  </message>
  <message>
   <source>The layer has no region '{}'.</source>
   <translation>Der Layer hat keine Region '{}'.</translation>
  </message>
  <message>
   <source>The layer has no vectors. {}</source>
   <translation>Der Layer hat keine Vektoren. {}</translation>
  </message>
  <message>
   <source>The layer is too large to compare its {:,} regions here. Run 'Find similar regions' on the chosen one.</source>
   <translation>Der Layer ist zu groß, um seine {:,} Regionen hier zu vergleichen. Starten Sie 'Ähnliche Regionen finden' mit der gewählten.</translation>
  </message>
  <message>
   <source>The layer {} has some: choose it above.</source>
   <translation>Der Layer {} hat welche: Wählen Sie ihn oben.</translation>
  </message>
  <message>
   <source>The models are in the Processing toolbox under Models &gt; UrbanFM.</source>
   <translation>Die Modelle stehen in der Werkzeugkiste der Verarbeitung unter Modelle &gt; UrbanFM.</translation>
  </message>
  <message>
   <source>The region cannot be transformed to the imagery's coordinate system.</source>
   <translation>Die Region lässt sich nicht in das Koordinatensystem der Bilddaten umrechnen.</translation>
  </message>
  <message>
   <source>The region has no vector: nothing covered it.</source>
   <translation>Die Region hat keinen Vektor: Keine Daten decken sie ab.</translation>
  </message>
  <message>
   <source>The region lies outside of what the model learned from: do not rely on its prediction.</source>
   <translation>Die Region liegt außerhalb dessen, woraus das Modell gelernt hat: Verlassen Sie sich nicht auf ihre Vorhersage.</translation>
  </message>
  <message>
   <source>The result is complete, but it could not be coloured: {}</source>
   <translation>Das Ergebnis ist vollständig, konnte aber nicht eingefärbt werden: {}</translation>
  </message>
  <message>
   <source>The same, if attention were spread evenly</source>
   <translation>Dasselbe bei gleichmäßig verteilter Aufmerksamkeit</translation>
  </message>
  <message>
   <source>The sample city is missing in {}. Install the plugin again.</source>
   <translation>Die Beispielstadt fehlt in {}. Installieren Sie die Erweiterung neu.</translation>
  </message>
  <message>
   <source>The style is damaged.</source>
   <translation>Der Stil ist beschädigt.</translation>
  </message>
  <message>
   <source>The trained model is kept in {}</source>
   <translation>Das trainierte Modell liegt in {}</translation>
  </message>
  <message>
   <source>The worker ended with code {} and without an explanation.</source>
   <translation>Der Arbeitsprozess endete mit Code {} und ohne Erklärung.</translation>
  </message>
  <message>
   <source>The worker ended without a result.</source>
   <translation>Der Arbeitsprozess endete ohne Ergebnis.</translation>
  </message>
  <message>
   <source>The worker failed without saying why.</source>
   <translation>Der Arbeitsprozess scheiterte, ohne zu sagen warum.</translation>
  </message>
  <message>
   <source>The worker speaks protocol {}, the plugin {}. Install the plugin again.</source>
   <translation>Der Arbeitsprozess spricht Protokoll {}, die Erweiterung {}. Installieren Sie die Erweiterung neu.</translation>
  </message>
  <message>
   <source>The worker was ended by signal {} before it finished. Signal 9 mostly means that memory ran out: take a smaller batch size, or close other programs.</source>
   <translation>Der Arbeitsprozess wurde durch Signal {} beendet, bevor er fertig war. Signal 9 heißt meist, dass der Speicher ausging: Nehmen Sie eine kleinere Stapelgröße, oder schließen Sie andere Programme.</translation>
  </message>
  <message>
   <source>The worker's result {} cannot be read: {}</source>
   <translation>Das Ergebnis {} des Arbeitsprozesses kann nicht gelesen werden: {}</translation>
  </message>
  <message>
   <source>The worker's result {} is empty.</source>
   <translation>Das Ergebnis {} des Arbeitsprozesses ist leer.</translation>
  </message>
  <message>
   <source>Their ratio</source>
   <translation>Ihr Verhältnis</translation>
  </message>
  <message>
   <source>There are too many points to count them all here: these are the first.</source>
   <translation>Es sind zu viele Punkte, um sie hier alle zu zählen: Dies sind die ersten.</translation>
  </message>
  <message>
   <source>Tokenizer</source>
   <translation>Tokenizer</translation>
  </message>
  <message>
   <source>Train model</source>
   <translation>Modell trainieren</translation>
  </message>
  <message>
   <source>Trained checkpoint</source>
   <translation>Trainierter Checkpoint</translation>
  </message>
  <message>
   <source>Training the preset '{}' needs: {}.</source>
   <translation>Das Training der Voreinstellung '{}' braucht: {}.</translation>
  </message>
  <message>
   <source>Trying the packages</source>
   <translation>Die Pakete werden ausprobiert</translation>
  </message>
  <message>
   <source>UrbanFM computes in a Python environment of its own, so that nothing is installed into the Python of QGIS. It takes about {:.0f} GB on disk and a download of about {:.1f} GB.</source>
   <translation>UrbanFM rechnet in einer eigenen Python-Umgebung, damit nichts in das Python von QGIS installiert wird. Sie belegt etwa {:.0f} GB und lädt etwa {:.1f} GB herunter.</translation>
  </message>
  <message>
   <source>UrbanFM is not set up yet</source>
   <translation>UrbanFM ist noch nicht eingerichtet</translation>
  </message>
  <message>
   <source>UrbanFM needs its own Python environment: choose Plugins &gt; UrbanFM &gt; Set up environment…, or set the environment variable {} to a Python that has its packages.</source>
   <translation>UrbanFM braucht eine eigene Python-Umgebung: Wählen Sie Erweiterungen &gt; UrbanFM &gt; Umgebung einrichten…, oder setzen Sie die Umgebungsvariable {} auf ein Python, das die Pakete hat.</translation>
  </message>
  <message>
   <source>UrbanFM sample city</source>
   <translation>UrbanFM-Beispielstadt</translation>
  </message>
  <message>
   <source>UrbanFM: set up environment</source>
   <translation>UrbanFM: Umgebung einrichten</translation>
  </message>
  <message>
   <source>Use</source>
   <translation>Verwenden</translation>
  </message>
  <message>
   <source>Value</source>
   <translation>Wert</translation>
  </message>
  <message>
   <source>Weights to leave out</source>
   <translation>Auszulassende Gewichte</translation>
  </message>
  <message>
   <source>What can I do next?</source>
   <translation>Was kann ich als Nächstes tun?</translation>
  </message>
  <message>
   <source>What is done appears here.</source>
   <translation>Was geschieht, erscheint hier.</translation>
  </message>
  <message>
   <source>What is known of the region</source>
   <translation>Was über die Region bekannt ist</translation>
  </message>
  <message>
   <source>What learns</source>
   <translation>Was lernt</translation>
  </message>
  <message>
   <source>What to do</source>
   <translation>Was zu tun ist</translation>
  </message>
  <message>
   <source>Worker of UrbanFM {} started.</source>
   <translation>Arbeitsprozess von UrbanFM {} gestartet.</translation>
  </message>
  <message>
   <source>Worker: {} ({})</source>
   <translation>Arbeitsprozess: {} ({})</translation>
  </message>
  <message>
   <source>Writing the layer</source>
   <translation>Der Layer wird geschrieben</translation>
  </message>
  <message>
   <source>X field of a table</source>
   <translation>X-Feld einer Tabelle</translation>
  </message>
  <message>
   <source>Y field of a table</source>
   <translation>Y-Feld einer Tabelle</translation>
  </message>
  <message>
   <source>a caption of each region, to put the clusters into words</source>
   <translation>eine Beschreibung jeder Region, um die Cluster in Worte zu fassen</translation>
  </message>
  <message>
   <source>a method that learns from pictures and captions, such as UrbanCLIP</source>
   <translation>eine Methode, die aus Bildern und Beschreibungen lernt, wie UrbanCLIP</translation>
  </message>
  <message>
   <source>a model of your own, to embed with</source>
   <translation>ein eigenes Modell zum Einbetten</translation>
  </message>
  <message>
   <source>a vector for each cell</source>
   <translation>ein Vektor für jede Zelle</translation>
  </message>
  <message>
   <source>a vector for each described region</source>
   <translation>ein Vektor für jede beschriebene Region</translation>
  </message>
  <message>
   <source>a vector for each region, as a styled layer</source>
   <translation>ein Vektor für jede Region, als gestalteter Layer</translation>
  </message>
  <message>
   <source>a vector for each region, from your own layers or the sample city's</source>
   <translation>ein Vektor für jede Region, aus Ihren eigenen Layern oder denen der Beispielstadt</translation>
  </message>
  <message>
   <source>a vector for each region: give it the same checkpoint</source>
   <translation>ein Vektor für jede Region: Geben Sie denselben Checkpoint an</translation>
  </message>
  <message>
   <source>an attribute of places where nobody noted it, with intervals</source>
   <translation>eine Eigenschaft von Orten, wo niemand sie festgehalten hat, mit Intervallen</translation>
  </message>
  <message>
   <source>an embedding raster, for methods with pixels</source>
   <translation>ein Embedding-Raster, bei Methoden mit Pixeln</translation>
  </message>
  <message>
   <source>an embedding raster, for methods with pixels: give it the same checkpoint</source>
   <translation>ein Embedding-Raster, bei Methoden mit Pixeln: Geben Sie denselben Checkpoint an</translation>
  </message>
  <message>
   <source>an indicator everywhere, from the same checkpoint's vectors</source>
   <translation>ein Indikator überall, aus den Vektoren desselben Checkpoints</translation>
  </message>
  <message>
   <source>an indicator where nobody measured it, with intervals</source>
   <translation>ein Indikator, wo ihn niemand gemessen hat, mit Intervallen</translation>
  </message>
  <message>
   <source>and {:,} in {} other categories</source>
   <translation>und {:,} in {} weiteren Kategorien</translation>
  </message>
  <message>
   <source>another method or more epochs, to compare with these scores</source>
   <translation>eine andere Methode oder mehr Epochen, zum Vergleich mit diesen Werten</translation>
  </message>
  <message>
   <source>how well the vectors behind the clusters tell your labels</source>
   <translation>wie gut die Vektoren hinter den Clustern Ihre Werte wiedergeben</translation>
  </message>
  <message>
   <source>missing</source>
   <translation>fehlt</translation>
  </message>
  <message>
   <source>more like the best found: select them and give the same embeddings</source>
   <translation>mehr wie die besten Treffer: Wählen Sie diese aus und geben Sie dieselben Embeddings an</translation>
  </message>
  <message>
   <source>no category</source>
   <translation>ohne Kategorie</translation>
  </message>
  <message>
   <source>p-value of Moran's I</source>
   <translation>p-Wert von Morans I</translation>
  </message>
  <message>
   <source>regions over the raster</source>
   <translation>Regionen über dem Raster</translation>
  </message>
  <message>
   <source>regions, where you have none</source>
   <translation>Regionen, wo Sie keine haben</translation>
  </message>
  <message>
   <source>the environment that the plugin set up</source>
   <translation>die von der Erweiterung eingerichtete Umgebung</translation>
  </message>
  <message>
   <source>the environment variable {}</source>
   <translation>die Umgebungsvariable {}</translation>
  </message>
  <message>
   <source>the indicator everywhere, from the vectors that did best</source>
   <translation>der Indikator überall, aus den besten Vektoren</translation>
  </message>
  <message>
   <source>the plugin's settings</source>
   <translation>die Einstellungen der Erweiterung</translation>
  </message>
  <message>
   <source>what the best found regions look like in words</source>
   <translation>wie die besten Treffer aussehen, in Worten</translation>
  </message>
  <message>
   <source>what the best ranked regions look like in words</source>
   <translation>wie die besten Regionen aussehen, in Worten</translation>
  </message>
  <message>
   <source>where else it looks like in the regions that you select</source>
   <translation>wo es noch aussieht wie in den Regionen, die Sie auswählen</translation>
  </message>
  <message>
   <source>whether the residuals belong to a kind of region</source>
   <translation>ob die Residuen zu einer Art von Regionen gehören</translation>
  </message>
  <message>
   <source>whether the vectors beat simple ones on your own labels</source>
   <translation>ob die Vektoren bei Ihren eigenen Werten besser sind als einfache Merkmale</translation>
  </message>
  <message>
   <source>which layers the model needs and what it gives</source>
   <translation>welche Layer das Modell braucht und was es liefert</translation>
  </message>
  <message>
   <source>which places are of one kind, and what sets each kind apart</source>
   <translation>welche Orte von einer Art sind und was jede Art auszeichnet</translation>
  </message>
  <message>
   <source>which places fit a phrase</source>
   <translation>welche Orte zu einem Text passen</translation>
  </message>
  <message>
   <source>which regions are of one kind, and what sets each kind apart</source>
   <translation>welche Regionen von einer Art sind und was jede Art auszeichnet</translation>
  </message>
  <message>
   <source>which regions are of one kind: give it the same embeddings</source>
   <translation>welche Regionen von einer Art sind: Geben Sie dieselben Embeddings an</translation>
  </message>
  <message>
   <source>which regions are of one kind: give it the vectors of the same checkpoint</source>
   <translation>welche Regionen von einer Art sind: Geben Sie die Vektoren desselben Checkpoints an</translation>
  </message>
  <message>
   <source>{:,} inside, from the layer {}</source>
   <translation>{:,} darin, aus dem Layer {}</translation>
  </message>
  <message>
   <source>{:,} of {:,} points of interest have no vector.</source>
   <translation>{:,} von {:,} Points of Interest haben keinen Vektor.</translation>
  </message>
  <message>
   <source>{:,} of {:,} regions have no caption.</source>
   <translation>{:,} von {:,} Regionen haben keine Beschreibung.</translation>
  </message>
  <message>
   <source>{:,} of {:,} regions have no data and so no vector.</source>
   <translation>{:,} von {:,} Regionen haben keine Daten und deshalb keinen Vektor.</translation>
  </message>
  <message>
   <source>{:,} regions are left out: their vectors cannot be read or differ in length.</source>
   <translation>{:,} Regionen sind ausgelassen: Ihre Vektoren sind nicht lesbar oder verschieden lang.</translation>
  </message>
  <message>
   <source>{} %</source>
   <translation>{} %</translation>
  </message>
  <message>
   <source>{} cannot be opened: {}</source>
   <translation>{} kann nicht geöffnet werden: {}</translation>
  </message>
  <message>
   <source>{} cannot be read: {}</source>
   <translation>{} kann nicht gelesen werden: {}</translation>
  </message>
  <message>
   <source>{} cannot make environments. On Debian and Ubuntu: sudo apt install python3-venv</source>
   <translation>{} kann keine Umgebungen anlegen. Unter Debian und Ubuntu: sudo apt install python3-venv</translation>
  </message>
  <message>
   <source>{} could not be started: {}</source>
   <translation>{} konnte nicht gestartet werden: {}</translation>
  </message>
  <message>
   <source>{} does not run as a Python interpreter ({}). {}</source>
   <translation>{} läuft nicht als Python-Interpreter ({}). {}</translation>
  </message>
  <message>
   <source>{} does not run: {}</source>
   <translation>{} läuft nicht: {}</translation>
  </message>
  <message>
   <source>{} failed: {}</source>
   <translation>{} ist fehlgeschlagen: {}</translation>
  </message>
  <message>
   <source>{} has {:.1f} GB free; {:.0f} GB are needed while installing.</source>
   <translation>{} hat {:.1f} GB frei; beim Installieren werden {:.0f} GB gebraucht.</translation>
  </message>
  <message>
   <source>{} holds no wheels (*.whl).</source>
   <translation>{} enthält keine Wheels (*.whl).</translation>
  </message>
  <message>
   <source>{} holds other files. Choose an empty or a new folder; nothing is deleted there.</source>
   <translation>{} enthält andere Dateien. Wählen Sie einen leeren oder neuen Ordner; dort wird nichts gelöscht.</translation>
  </message>
  <message>
   <source>{} is Python {}, and UrbanFM {} needs {} or newer. {}</source>
   <translation>{} ist Python {}, und UrbanFM {} braucht {} oder neuer. {}</translation>
  </message>
  <message>
   <source>{} is Python {}; {} or newer is needed. Install it from python.org and choose it here.</source>
   <translation>{} ist Python {}; gebraucht wird {} oder neuer. Installieren Sie es von python.org und wählen Sie es hier.</translation>
  </message>
  <message>
   <source>{} is a file.</source>
   <translation>{} ist eine Datei.</translation>
  </message>
  <message>
   <source>{} is no Python interpreter.</source>
   <translation>{} ist kein Python-Interpreter.</translation>
  </message>
  <message>
   <source>{} lacks the packages: {}. Install them with: {} -m pip install {}. Or {}</source>
   <translation>{} fehlen die Pakete: {}. Installieren Sie sie mit: {} -m pip install {}. Oder {}</translation>
  </message>
  <message>
   <source>{} to {}</source>
   <translation>{} bis {}</translation>
  </message>
  <message>
   <source>{}: '{}' has no coordinate reference system, so it cannot be laid over other layers. Set it in Layer &gt; Set CRS of Layer(s)…</source>
   <translation>{}: '{}' hat kein Koordinatenbezugssystem und kann deshalb nicht über andere Layer gelegt werden. Setzen Sie es unter Layer &gt; KBS von Layer(n) setzen…</translation>
  </message>
  <message>
   <source>{}: '{}' has no coordinate reference system. Assign it with Raster &gt; Projections &gt; Assign Projection…</source>
   <translation>{}: '{}' hat kein Koordinatenbezugssystem. Weisen Sie es unter Raster &gt; Projektionen &gt; Projektion zuweisen… zu.</translation>
  </message>
  <message>
   <source>{}: '{}' has no coordinate reference system. Set it in Layer &gt; Set CRS of Layer(s)…</source>
   <translation>{}: '{}' hat kein Koordinatenbezugssystem. Setzen Sie es unter Layer &gt; KBS von Layer(n) setzen…</translation>
  </message>
  <message>
   <source>{}: '{}' is a picture service ({}), not a file of values. Choose a GeoTIFF, COG or VRT, or save the layer as a file first (Export &gt; Save As… &gt; Raw data).</source>
   <translation>{}: '{}' ist ein Bilddienst ({}), keine Datei mit Werten. Wählen Sie ein GeoTIFF, COG oder VRT, oder speichern Sie den Layer zuerst als Datei (Export &gt; Speichern als… &gt; Rohdaten).</translation>
  </message>
  <message>
   <source>{}: '{}' is not one of the values it takes. {}</source>
   <translation>{}: '{}' ist keiner der erlaubten Werte. {}</translation>
  </message>
  <message>
   <source>{}: a Shapefile cuts field names to 10 letters and texts to 254, which destroys embeddings. Choose a GeoPackage (.gpkg).</source>
   <translation>{}: Ein Shapefile kürzt Feldnamen auf 10 Zeichen und Texte auf 254, was Embeddings zerstört. Wählen Sie ein GeoPackage (.gpkg).</translation>
  </message>
  <message>
   <source>{}: choose a vector layer with geometries or a raster file.</source>
   <translation>{}: Wählen Sie einen Vektorlayer mit Geometrien oder eine Rasterdatei.</translation>
  </message>
  <message>
   <source>{}: must be greater than {:g}.</source>
   <translation>{}: muss größer als {:g} sein.</translation>
  </message>
  <message>
   <source>{}: the raster cannot be opened.</source>
   <translation>{}: Das Raster kann nicht geöffnet werden.</translation>
  </message>
  <message>
   <source>{}: there are no features. Is a filter set, or 'selected features only' without a selection?</source>
   <translation>{}: Es gibt keine Objekte. Ist ein Filter gesetzt, oder 'nur gewählte Objekte' ohne Auswahl?</translation>
  </message>
  <message>
   <source>{}: there is no file {}.</source>
   <translation>{}: Es gibt keine Datei {}.</translation>
  </message>
  <message>
   <source>{}: there is no folder {}.</source>
   <translation>{}: Es gibt keinen Ordner {}.</translation>
  </message>
  <message>
   <source>{}: {:,} features</source>
   <translation>{}: {:,} Objekte</translation>
  </message>
  <message>
   <source>{}: {} cannot be written: {}. Choose another folder.</source>
   <translation>{}: {} lässt sich nicht schreiben: {}. Wählen Sie einen anderen Ordner.</translation>
  </message>
  <message>
   <source>{}: {} holds {} layers ({}), which would all be lost. Choose another name, or 'Save to GeoPackage…' to add a layer.</source>
   <translation>{}: {} enthält {} Layer ({}), die alle verloren gingen. Wählen Sie einen anderen Namen, oder „In GeoPackage speichern…“, um einen Layer hinzuzufügen.</translation>
  </message>
  <message>
   <source>{}: {} is a folder. Choose the name of a file.</source>
   <translation>{}: {} ist ein Ordner. Wählen Sie den Namen einer Datei.</translation>
  </message>
  <message>
   <source>{}: {} is no checkpoint: it has no manifest.json. Choose the folder that training wrote.</source>
   <translation>{}: {} ist kein Checkpoint, denn die Datei manifest.json fehlt. Wählen Sie den Ordner, den das Training geschrieben hat.</translation>
  </message>
  <message>
   <source>{}: {} is the input '{}', which would be lost. Choose another name.</source>
   <translation>{}: {} ist die Eingabe „{}“, die verloren ginge. Wählen Sie einen anderen Namen.</translation>
  </message>
  <message>
   <source>{}: {}.</source>
   <translation>{}: {}.</translation>
  </message>
  <message>
   <source>✓ Ready: {} ({})</source>
   <translation>✓ Bereit: {} ({})</translation>
  </message>
 </context>
 <context>
  <name>UrbanFM help</name>
  <message>
   <source>'auto': numbers are regression, two values binary, texts multi-class, several fields shares of a whole.</source>
   <translation>'auto': Zahlen sind Regression, zwei Werte binär, Texte mehrere Klassen, mehrere Felder Anteile eines Ganzen.</translation>
  </message>
  <message>
   <source>'kmeans': every region in one of a number of round clusters. 'hdbscan': dense groups of any form, regions between them in none.</source>
   <translation>'kmeans': jede Region in einem von mehreren runden Clustern. 'hdbscan': dichte Gruppen beliebiger Form, die Regionen dazwischen in keiner.</translation>
  </message>
  <message>
   <source>A point layer, or a table with longitude and latitude, with a column that names the picture file of each point. Panoramas, twice as wide as high, are cut into four views.</source>
   <translation>Ein Punktlayer, oder eine Tabelle mit Länge und Breite, mit einer Spalte, die die Bilddatei jedes Punktes nennt. Panoramen, doppelt so breit wie hoch, werden in vier Ansichten geschnitten.</translation>
  </message>
  <message>
   <source>A simple model (a probe) learns the field from the regions that have it. Whole blocks of neighbouring regions are held out in turn, so that scores, residuals and intervals are those of places that the model has not seen. Regions whose vector is unlike all that it learned from are marked. With the head 'finetune', a trained ReFound or UrbanCLIP goes on learning, from the layers that it sees; a model fine-tuned before predicts for other regions.</source>
   <translation>Ein einfaches Modell (Prüfmodell) lernt das Feld aus den Regionen, die es haben. Ganze Blöcke benachbarter Regionen werden der Reihe nach zurückgehalten, damit Bewertungen, Residuen und Intervalle die von Orten sind, die das Modell nicht gesehen hat. Regionen, deren Vektor allem Gelernten unähnlich ist, werden markiert. Mit dem Kopf 'finetune' lernt ein trainiertes ReFound oder UrbanCLIP weiter, aus den Layern, die es sieht; ein früher feinabgestimmtes Modell sagt für andere Regionen voraus.</translation>
  </message>
  <message>
   <source>Also write the vector as one column per dimension: emb_000, emb_001 and so on.</source>
   <translation>Den Vektor auch als eine Spalte je Dimension schreiben: emb_000, emb_001 und so weiter.</translation>
  </message>
  <message>
   <source>Any line layer, in OpenStreetMap's scheme or not. Lines are connected where they meet on one level.</source>
   <translation>Ein Linienlayer, im Schema von OpenStreetMap oder nicht. Linien werden verbunden, wo sie sich auf einer Ebene treffen.</translation>
  </message>
  <message>
   <source>Any point layer, or a CSV or Parquet table with longitude and latitude. A polygon or line counts as a point inside it.</source>
   <translation>Ein Punktlayer, oder eine CSV- oder Parquet-Tabelle mit Länge und Breite. Ein Polygon oder eine Linie zählt als ein Punkt darin.</translation>
  </message>
  <message>
   <source>Area to cover instead, as xmin,ymin,xmax,ymax.</source>
   <translation>Stattdessen abzudeckende Fläche, als xmin,ymin,xmax,ymax.</translation>
  </message>
  <message>
   <source>Captions of pictures: a Parquet, JSON or CSV file, or a layer, with one or many per picture. A layer of regions with a column of text counts as one caption for the imagery of each region.</source>
   <translation>Beschreibungen von Bildern: eine Parquet-, JSON- oder CSV-Datei oder ein Layer, mit einer oder mehreren je Bild. Ein Layer von Regionen mit einer Textspalte gilt als eine Beschreibung des Luft- oder Satellitenbildes jeder Region.</translation>
  </message>
  <message>
   <source>Categories or subcategories of the points that are looked at, such as bar. All points when nothing is chosen.</source>
   <translation>Kategorien oder Unterkategorien der Punkte, die betrachtet werden, wie bar. Alle Punkte, wenn nichts gewählt ist.</translation>
  </message>
  <message>
   <source>Changes to the preset's model, as field=value, such as lambda_image=0.5 or base_m=25.</source>
   <translation>Änderungen am Modell der Voreinstellung, als Feld=Wert, wie lambda_image=0.5 oder base_m=25.</translation>
  </message>
  <message>
   <source>Check this installation: interpreter, packages, device, text encoder, and what mends what is missing.</source>
   <translation>Diese Installation prüfen: Interpreter, Pakete, Rechengerät, Text-Encoder, und was Fehlendes behebt.</translation>
  </message>
  <message>
   <source>Checkpoint to look at.</source>
   <translation>Checkpoint, der angesehen wird.</translation>
  </message>
  <message>
   <source>Column of the region ids in the embeddings of the other city. Guessed when not given.</source>
   <translation>Spalte mit den Kennungen der Regionen in den Embeddings der anderen Stadt. Ohne Angabe wird sie erraten.</translation>
  </message>
  <message>
   <source>Column of the region ids in the embeddings. Guessed when not given.</source>
   <translation>Spalte mit den Kennungen der Regionen in den Embeddings. Ohne Angabe wird sie erraten.</translation>
  </message>
  <message>
   <source>Column of the region ids in the table of labels. Guessed when not given.</source>
   <translation>Spalte mit den Kennungen der Regionen in der Tabelle bekannter Werte. Ohne Angabe wird sie erraten.</translation>
  </message>
  <message>
   <source>Column that identifies a point of interest. Without it: poi_id, building_id, id, osm_id, @id or full_id if unique, else the number of the row.</source>
   <translation>Spalte, die einen Point of Interest kennzeichnet. Ohne Angabe: poi_id, building_id, id, osm_id, @id oder full_id, falls eindeutig, sonst die Nummer der Zeile.</translation>
  </message>
  <message>
   <source>Column that identifies a region. Without it: 'region_id' or 'id' if unique, else the row number.</source>
   <translation>Spalte, die eine Region kennzeichnet. Ohne sie: 'region_id' oder 'id', wenn eindeutig, sonst die Zeilennummer.</translation>
  </message>
  <message>
   <source>Column with the category. Guessed when not given, for OpenStreetMap, Overture and Foursquare too.</source>
   <translation>Spalte mit der Kategorie. Ohne Angabe wird sie erraten, auch bei OpenStreetMap, Overture und Foursquare.</translation>
  </message>
  <message>
   <source>Column with the finer category. Guessed when not given.</source>
   <translation>Spalte mit der feineren Kategorie. Ohne Angabe wird sie erraten.</translation>
  </message>
  <message>
   <source>Column with the latitude or y of a table.</source>
   <translation>Spalte mit der geographischen Breite oder y einer Tabelle.</translation>
  </message>
  <message>
   <source>Column with the longitude or x of a table.</source>
   <translation>Spalte mit der geographischen Länge oder x einer Tabelle.</translation>
  </message>
  <message>
   <source>Column with the name. Guessed when not given.</source>
   <translation>Spalte mit dem Namen. Ohne Angabe wird sie erraten.</translation>
  </message>
  <message>
   <source>Column with the text of a caption. Guessed when not given.</source>
   <translation>Spalte mit dem Text einer Beschreibung. Ohne Angabe wird sie erraten.</translation>
  </message>
  <message>
   <source>Columns of the embeddings that are the vector: several of numbers, or one of lists; * stands for anything, as in A*. Guessed when not given: 'embedding', else columns that differ by a number only. Those of further tables that are compared with are always guessed.</source>
   <translation>Spalten der Embeddings, die der Vektor sind: mehrere mit Zahlen oder eine mit Listen; * steht für beliebige Zeichen, wie in A*. Wird sonst erraten: 'embedding', sonst Spalten, die sich nur durch eine Zahl unterscheiden. Die Spalten weiterer Tabellen, mit denen verglichen wird, werden immer erraten.</translation>
  </message>
  <message>
   <source>Columns of the points of interest that hold tags, packed (JSON, hstore) or one key each, and no others. All that look like tags when not given. For methods that read tags (UrbanMFM); leave out what is to be predicted.</source>
   <translation>Spalten der Points of Interest, die Tags enthalten, gepackt (JSON, hstore) oder je ein Schlüssel, und keine anderen. Ohne Angabe alle, die wie Tags aussehen. Für Methoden, die Tags lesen (UrbanMFM); lassen Sie weg, was vorhergesagt werden soll.</translation>
  </message>
  <message>
   <source>Compression of the output.</source>
   <translation>Kompression der Ausgabe.</translation>
  </message>
  <message>
   <source>Coordinate reference system of a table's x and y, such as EPSG:4326, which is taken when not given.</source>
   <translation>Koordinatenbezugssystem von x und y einer Tabelle, wie EPSG:4326, das ohne Angabe genommen wird.</translation>
  </message>
  <message>
   <source>Density from which a region counts as settled. Targets that count inhabitants, or are their density, are also scored for settled regions alone; 0 for not.</source>
   <translation>Dichte, ab der eine Region als besiedelt gilt. Zielgrößen, die Einwohner zählen oder deren Dichte sind, werden auch für besiedelte Regionen allein bewertet; 0 für nicht.</translation>
  </message>
  <message>
   <source>Distance between windows over imagery, and side of the output's pixels; at most the side of a window. Half of it when not given, so that neighbours overlap by half. Half the stride takes four times as long.</source>
   <translation>Abstand der Fenster über den Bilddaten und Seite der Pixel der Ausgabe; höchstens die Seite eines Fensters. Ohne Angabe deren Hälfte, sodass sich Nachbarn zur Hälfte überlappen. Der halbe Abstand dauert viermal so lange.</translation>
  </message>
  <message>
   <source>Embed every pixel of a raster, or windows that slide over imagery.</source>
   <translation>Jedes Pixel eines Rasters einbetten, oder Fenster, die über Bilddaten gleiten.</translation>
  </message>
  <message>
   <source>Embeddings of another city by the same model, with the targets among the fields of the layer: probes that learn in one city are scored in the other, both ways. Of several embeddings, the first.</source>
   <translation>Embeddings einer anderen Stadt vom selben Modell, mit den Zielgrößen unter den Feldern des Layers: Prüfmodelle, die in der einen Stadt lernen, werden in der anderen bewertet, in beiden Richtungen. Von mehreren Embeddings das erste.</translation>
  </message>
  <message>
   <source>Embeddings of another city, made by the same model: its regions are ranked instead.</source>
   <translation>Embeddings einer anderen Stadt, vom selben Modell: Stattdessen werden deren Regionen geordnet.</translation>
  </message>
  <message>
   <source>Embeddings to evaluate: those of UrbanFM, or any table with an id and columns of numbers. On the command line several are compared, and name=path gives one a name. Without any, the floors are scored alone.</source>
   <translation>Embeddings, die bewertet werden: die von UrbanFM, oder eine Tabelle mit einer Kennung und Zahlenspalten. Auf der Kommandozeile werden mehrere verglichen, und Name=Pfad gibt einem einen Namen. Ohne Angabe werden nur die Vergleichsmerkmale bewertet.</translation>
  </message>
  <message>
   <source>Ends of roads that lie so near to each other, or to another road, meet there.</source>
   <translation>Straßenenden, die einander oder einer anderen Straße so nahe liegen, treffen sich dort.</translation>
  </message>
  <message>
   <source>Fewest regions of a cluster of HDBSCAN. When not given, the best of several by silhouette.</source>
   <translation>Kleinste Zahl von Regionen eines Clusters von HDBSCAN. Ohne Angabe die beste von mehreren nach der Silhouette.</translation>
  </message>
  <message>
   <source>Fields of the regions that describe the clusters: numbers by their mean, texts by how often each value occurs. All fields of numbers when not given.</source>
   <translation>Felder der Regionen, die die Cluster beschreiben: Zahlen mit ihrem Mittel, Texte mit der Häufigkeit jedes Wertes. Ohne Angabe alle Zahlenfelder.</translation>
  </message>
  <message>
   <source>Files of more embeddings to compare with, each a path, or name=path to give it a name.</source>
   <translation>Dateien weiterer Embeddings zum Vergleich, jede ein Pfad, oder Name=Pfad, um ihr einen Namen zu geben.</translation>
  </message>
  <message>
   <source>Find the regions that are most like chosen ones, in their city or in another.</source>
   <translation>Die Regionen finden, die gewählten am ähnlichsten sind, in deren Stadt oder in einer anderen.</translation>
  </message>
  <message>
   <source>First seed. The same seed gives the same folds and scores.</source>
   <translation>Erster Startwert. Derselbe Startwert gibt dieselbe Aufteilung und dieselben Bewertungen.</translation>
  </message>
  <message>
   <source>Folder for prepared samples and unfinished work, so that a rerun continues. The user's cache folder when not given.</source>
   <translation>Ordner für vorbereitete Beispiele und unfertige Arbeit, damit ein neuer Lauf weitermacht. Ohne Angabe der Zwischenspeicher des Benutzers.</translation>
  </message>
  <message>
   <source>Folder of the checkpoint to write.</source>
   <translation>Ordner des Checkpoints, der geschrieben wird.</translation>
  </message>
  <message>
   <source>GeoPackage, GeoJSON or GeoParquet to write.</source>
   <translation>GeoPackage, GeoJSON oder GeoParquet, das geschrieben wird.</translation>
  </message>
  <message>
   <source>GeoParquet to write, with exact vectors in a list column 'embedding'.</source>
   <translation>GeoParquet-Datei, die geschrieben wird, mit exakten Vektoren in einer Listenspalte 'embedding'.</translation>
  </message>
  <message>
   <source>GeoParquet to write, with exact vectors in a list column 'embedding'. A name that ends in .arrow or .feather gives the same table as Arrow IPC, one in .csv a CSV with a column per dimension; all are exact.</source>
   <translation>Zu schreibendes GeoParquet mit genauen Vektoren in einer Listenspalte 'embedding'. Ein Name, der auf .arrow oder .feather endet, ergibt dieselbe Tabelle als Arrow IPC, einer auf .csv eine CSV-Datei mit einer Spalte je Dimension; alle sind genau.</translation>
  </message>
  <message>
   <source>GeoParquet to write, with the same fields.</source>
   <translation>GeoParquet, das geschrieben wird, mit denselben Feldern.</translation>
  </message>
  <message>
   <source>GeoTIFF to write, with each region's vector on the grid of the embedding raster.</source>
   <translation>GeoTIFF, das geschrieben wird, mit dem Vektor jeder Region auf dem Gitter des Embedding-Rasters.</translation>
  </message>
  <message>
   <source>GeoTIFF to write.</source>
   <translation>GeoTIFF, das geschrieben wird.</translation>
  </message>
  <message>
   <source>GeoTIFF to write: the score of each pixel of the embedding raster.</source>
   <translation>GeoTIFF, das geschrieben wird: der Wert jedes Pixels des Embedding-Rasters.</translation>
  </message>
  <message>
   <source>GeoTIFF to write: the share of a region's attention that each patch gets, one pixel a patch; the mean where regions' pictures overlap.</source>
   <translation>GeoTIFF, das geschrieben wird: der Anteil der Aufmerksamkeit einer Region, den jedes Bildfeld bekommt, ein Pixel je Feld; das Mittel, wo sich Bilder der Regionen überlappen.</translation>
  </message>
  <message>
   <source>Give every point of interest, or every building, a vector of its own.</source>
   <translation>Gibt jedem Point of Interest oder jedem Gebäude einen eigenen Vektor.</translation>
  </message>
  <message>
   <source>Give every region a caption as a field.</source>
   <translation>Jeder Region eine Beschreibung als Feld geben.</translation>
  </message>
  <message>
   <source>Give every region a vector that knows what the place looks like and what it is for.</source>
   <translation>Jeder Region einen Vektor geben, der weiß, wie der Ort aussieht und wozu er da ist.</translation>
  </message>
  <message>
   <source>Group regions whose vectors are alike, and say what makes each group differ from the city.</source>
   <translation>Regionen gruppieren, deren Vektoren sich gleichen, und sagen, was jede Gruppe von der Stadt unterscheidet.</translation>
  </message>
  <message>
   <source>HTML page to write, with pictures of some regions.</source>
   <translation>HTML-Seite, die geschrieben wird, mit Bildern einiger Regionen.</translation>
  </message>
  <message>
   <source>HTML report to write, with a map and some captions.</source>
   <translation>Zu schreibender HTML-Bericht mit einer Karte und einigen Beschreibungen.</translation>
  </message>
  <message>
   <source>HTML report to write, with a map and the best regions.</source>
   <translation>Zu schreibender HTML-Bericht mit einer Karte und den besten Regionen.</translation>
  </message>
  <message>
   <source>HTML report to write, with a map and the most similar regions.</source>
   <translation>HTML-Bericht, der geschrieben wird, mit einer Karte und den ähnlichsten Regionen.</translation>
  </message>
  <message>
   <source>HTML report to write, with a map and the profiles.</source>
   <translation>HTML-Bericht, der geschrieben wird, mit einer Karte und den Profilen.</translation>
  </message>
  <message>
   <source>HTML report to write, with a map.</source>
   <translation>Zu schreibender HTML-Bericht mit einer Karte.</translation>
  </message>
  <message>
   <source>HTML report to write, with a picture of the raster.</source>
   <translation>Zu schreibender HTML-Bericht mit einem Bild des Rasters.</translation>
  </message>
  <message>
   <source>HTML report to write, with maps and scores.</source>
   <translation>HTML-Bericht, der geschrieben wird, mit Karten und Bewertungen.</translation>
  </message>
  <message>
   <source>HTML report to write, with pictures.</source>
   <translation>HTML-Bericht, der geschrieben wird, mit Bildern.</translation>
  </message>
  <message>
   <source>HTML report to write, with the loss curve.</source>
   <translation>HTML-Bericht, der geschrieben wird, mit der Verlustkurve.</translation>
  </message>
  <message>
   <source>HTML report to write.</source>
   <translation>HTML-Bericht, der geschrieben wird.</translation>
  </message>
  <message>
   <source>Highest number of clusters that is tried when none is given.</source>
   <translation>Höchste Zahl von Clustern, die versucht wird, wenn keine angegeben ist.</translation>
  </message>
  <message>
   <source>How a fine-tuned model makes one vector of points and imagery.</source>
   <translation>Wie ein feinabgestimmtes Modell aus Punkten und Bildern einen Vektor macht.</translation>
  </message>
  <message>
   <source>How stored integers become numbers. 'auto' recognises AlphaEarth's int8 files; 'none' takes the file's own scale and offset.</source>
   <translation>Wie gespeicherte ganze Zahlen zu Zahlenwerten werden. 'auto' erkennt die int8-Dateien von AlphaEarth; 'none' nimmt Maßstab und Versatz der Datei selbst.</translation>
  </message>
  <message>
   <source>Ids of chosen regions, one a line in a dialog. With a layer too, the regions of both are chosen.</source>
   <translation>Kennungen gewählter Regionen, im Dialog eine je Zeile. Ist auch ein Layer angegeben, sind die Regionen von beiden gewählt.</translation>
  </message>
  <message>
   <source>In the last layer of a model that reads points and imagery together, the names of the chosen points attend to patches of their region's picture. The attention is written as a raster, to the points, to the regions, and as a page with pictures. The more of it falls on the patch that a point stands on, the better text and picture are aligned; the share is reported beside that of attention spread evenly.</source>
   <translation>In der letzten Schicht eines Modells, das Punkte und Bilder zusammen liest, richten die Namen der gewählten Punkte ihre Aufmerksamkeit auf Felder des Bildes ihrer Region. Sie wird als Raster geschrieben, an die Punkte, an die Regionen und als Seite mit Bildern. Je mehr davon auf das Feld fällt, auf dem ein Punkt steht, desto besser passen Text und Bild zusammen; der Anteil steht neben dem bei gleichmäßig verteilter Aufmerksamkeit.</translation>
  </message>
  <message>
   <source>JSON file to write, with every score of every seed.</source>
   <translation>JSON-Datei, die geschrieben wird, mit jeder Bewertung jedes Startwerts.</translation>
  </message>
  <message>
   <source>JSON file to write, with the profile of each cluster.</source>
   <translation>JSON-Datei, die geschrieben wird, mit dem Profil jedes Clusters.</translation>
  </message>
  <message>
   <source>JSON file with the rules of refinement, in the form of resources/caption_rules.json, which is taken when not given.</source>
   <translation>JSON-Datei mit den Regeln der Überarbeitung, in der Form von resources/caption_rules.json, die ohne Angabe genommen wird.</translation>
  </message>
  <message>
   <source>K-means puts every region into one of a number of clusters, by default the number with the best silhouette; HDBSCAN finds dense groups, and leaves the regions between them out. Each cluster is described by the categories of points of interest and the fields that are over- or under-represented in it, gets a name from them, and always the same colour.</source>
   <translation>K-Means legt jede Region in einen von mehreren Clustern, ohne Angabe so viele, wie die beste Silhouette geben; HDBSCAN findet dichte Gruppen und lässt die Regionen dazwischen aus. Jeder Cluster wird durch die Kategorien der POIs und die Felder beschrieben, die in ihm über- oder untervertreten sind, bekommt danach einen Namen und immer dieselbe Farbe.</translation>
  </message>
  <message>
   <source>Layer or raster to cover.</source>
   <translation>Layer oder Raster, der abgedeckt wird.</translation>
  </message>
  <message>
   <source>Layer to write (GeoPackage or GeoJSON): all source fields, and the prediction in fields that begin with 'pred'.</source>
   <translation>Layer, der geschrieben wird (GeoPackage oder GeoJSON): alle Felder der Quelle, und die Vorhersage in Feldern, die mit 'pred' beginnen.</translation>
  </message>
  <message>
   <source>Layer to write (GeoPackage or GeoJSON): all source fields, the vector as text, its first three principal components, and coverage. A CSV has a column per dimension, and the polygons as WKT in WGS 84.</source>
   <translation>Zu schreibender Layer (GeoPackage oder GeoJSON): alle Felder der Quelle, der Vektor als Text, seine ersten drei Hauptkomponenten und die Abdeckung. Eine CSV-Datei hat eine Spalte je Dimension und die Polygone als WKT in WGS 84.</translation>
  </message>
  <message>
   <source>Layer to write (GeoPackage or GeoJSON): all source fields, the vector as text, its first three principal components, and what was known of each point.</source>
   <translation>Layer, der geschrieben wird (GeoPackage oder GeoJSON): alle Felder der Quelle, der Vektor als Text, seine ersten drei Hauptkomponenten und was von jedem Punkt bekannt war.</translation>
  </message>
  <message>
   <source>Layer to write (GeoPackage, GeoJSON or CSV): all source fields but the vectors of a GeoParquet, and score, rank, percentile and whether the region was chosen.</source>
   <translation>Zu schreibender Layer (GeoPackage, GeoJSON oder CSV): alle Felder der Quelle außer den Vektoren eines GeoParquet, dazu Wert, Rang, Perzentil und ob die Region gewählt war.</translation>
  </message>
  <message>
   <source>Layer to write (GeoPackage, GeoJSON or CSV): all source fields, the number and the name of the cluster, the silhouette, and the distance to the centre of the cluster.</source>
   <translation>Zu schreibender Layer (GeoPackage, GeoJSON oder CSV): alle Felder der Quelle, Nummer und Name des Clusters, die Silhouette und der Abstand zur Mitte des Clusters.</translation>
  </message>
  <message>
   <source>Layer to write: the chosen points with the attention that they give to the patch that they stand on, and its ratio to attention spread evenly.</source>
   <translation>Layer, der geschrieben wird: die gewählten Punkte mit der Aufmerksamkeit, die sie dem Bildfeld geben, auf dem sie stehen, und deren Verhältnis zu gleichmäßig verteilter.</translation>
  </message>
  <message>
   <source>Layer to write: the regions with the fields caption, empty where there is none, and caption_by, who wrote it.</source>
   <translation>Layer, der geschrieben wird: die Regionen mit den Feldern caption, leer, wo es keine gibt, und caption_by, wer sie geschrieben hat.</translation>
  </message>
  <message>
   <source>Layer to write: the regions with the fields score, rank and percentile.</source>
   <translation>Layer, der geschrieben wird: die Regionen mit den Feldern score, rank und percentile.</translation>
  </message>
  <message>
   <source>Layer to write: the regions with the number of chosen points, their attention on their own patches, and the entropy of the attention: 0 if all is on one patch, 1 if it is the same everywhere.</source>
   <translation>Layer, der geschrieben wird: die Regionen mit der Zahl der gewählten Punkte, deren Aufmerksamkeit auf ihre eigenen Bildfelder und der Entropie der Aufmerksamkeit: 0, wenn alle auf einem Feld liegt, 1, wenn sie überall gleich ist.</translation>
  </message>
  <message>
   <source>Make square or hexagonal regions of equal size.</source>
   <translation>Quadratische oder sechseckige Regionen gleicher Größe erzeugen.</translation>
  </message>
  <message>
   <source>Method and size. AETHER learns from points of interest and an embedding raster; ReFound from points, imagery or both; UrbanCLIP from imagery and captions; UrbanLN from imagery or street views, and captions; UrbanMFM from points, roads, buildings, imagery and street views, as many as there are. '-tiny' shows in seconds whether the layers fit together, '-small' is for a laptop, and the plain name is the method as published. Or a JSON file of your own, in the form of those in resources/presets.</source>
   <translation>Methode und Größe. AETHER lernt aus POIs und einem Embedding-Raster; ReFound aus POIs, Bilddaten oder beidem; UrbanCLIP aus Bilddaten und Beschreibungen; UrbanLN aus Bilddaten oder Straßenbildern, und Beschreibungen; UrbanMFM aus POIs, Straßen, Gebäuden, Bilddaten und Straßenbildern, so vielen wie da sind. '-tiny' zeigt in Sekunden, ob die Layer zusammenpassen, '-small' ist für einen Laptop, und der Name allein ist die Methode wie veröffentlicht. Oder eine eigene JSON-Datei in der Form derer in resources/presets.</translation>
  </message>
  <message>
   <source>Method that the weights belong to.</source>
   <translation>Methode, zu der die Gewichte gehören.</translation>
  </message>
  <message>
   <source>Model that describes the imagery of every region instead: a Hugging Face id or folder of a model from pictures to text, or 'openai:MODEL@URL' for an OpenAI-compatible endpoint. Its answers are refined by rules.</source>
   <translation>Modell, das stattdessen die Bilddaten jeder Region beschreibt: eine Hugging-Face-Kennung oder ein Ordner eines Modells von Bildern zu Text, oder 'openai:MODEL@URL' für einen OpenAI-kompatiblen Dienst. Seine Antworten werden nach Regeln überarbeitet.</translation>
  </message>
  <message>
   <source>More about the regions, such as flows of people: a table or layer with the ids of the regions and columns of numbers, or of lists of numbers.</source>
   <translation>Mehr über die Regionen, wie Ströme von Menschen: eine Tabelle oder ein Layer mit den Kennungen der Regionen und Spalten von Zahlen oder von Listen von Zahlen.</translation>
  </message>
  <message>
   <source>Most requests a minute to an endpoint. No limit when not given.</source>
   <translation>Höchstzahl von Anfragen je Minute an einen Dienst. Ohne Angabe keine Grenze.</translation>
  </message>
  <message>
   <source>Most tokens that a model on this machine writes about a picture.</source>
   <translation>Höchstzahl von Token, die ein Modell auf diesem Rechner über ein Bild schreibt.</translation>
  </message>
  <message>
   <source>Nothing in the file is executed: a file that holds anything but tensors and plain values is refused.</source>
   <translation>Nichts in der Datei wird ausgeführt: Eine Datei, die anderes als Tensoren und einfache Werte enthält, wird abgelehnt.</translation>
  </message>
  <message>
   <source>Number format of the network's arithmetic. bfloat16 is faster where the machine has it.</source>
   <translation>Zahlenformat, in dem das Netz rechnet. bfloat16 ist schneller, wo der Rechner es hat.</translation>
  </message>
  <message>
   <source>Number format of the output. int8 stores v as round(127.5 * sign(v) * sqrt(|v|)) with nodata -128, as AlphaEarth does, in an eighth of the space or less; the file says so, and is read as an embedding raster without more.</source>
   <translation>Zahlenformat der Ausgabe. int8 speichert v als round(127.5 * sign(v) * sqrt(|v|)) mit Nodata -128, wie AlphaEarth, in einem Achtel des Platzes oder weniger; die Datei sagt es selbst und wird ohne Weiteres als Embedding-Raster gelesen.</translation>
  </message>
  <message>
   <source>Number of best regions listed in the log.</source>
   <translation>Zahl der besten Regionen, die im Protokoll stehen.</translation>
  </message>
  <message>
   <source>Number of clusters of k-means. When not given, the number with the best mean silhouette.</source>
   <translation>Zahl der Cluster von K-Means. Ohne Angabe die mit der besten mittleren Silhouette.</translation>
  </message>
  <message>
   <source>Number of folds. When not given, one for each block, which makes the narrowest intervals, of a linear model of a number; else 5, for the sake of time.</source>
   <translation>Zahl der Teile. Ohne Angabe bei einem linearen Modell einer Zahl einer je Block, was die schmalsten Intervalle gibt; sonst 5, der Zeit wegen.</translation>
  </message>
  <message>
   <source>Number of most similar regions that are listed.</source>
   <translation>Zahl der ähnlichsten Regionen in der Liste.</translation>
  </message>
  <message>
   <source>Number of parts that the blocks are dealt to; each part is predicted by probes trained on the others.</source>
   <translation>Zahl der Teile, auf die die Blöcke verteilt werden; jeder Teil wird von Prüfmodellen vorhergesagt, die auf den anderen trainiert sind.</translation>
  </message>
  <message>
   <source>Number of random splits into folds. Scores are the mean over them, with an interval.</source>
   <translation>Zahl zufälliger Aufteilungen. Die Werte sind das Mittel darüber, mit einem Intervall.</translation>
  </message>
  <message>
   <source>Number of spatial blocks: groups of neighbouring regions, each held out as a whole.</source>
   <translation>Zahl räumlicher Blöcke: Gruppen benachbarter Regionen, die jeweils im Ganzen zurückgehalten werden.</translation>
  </message>
  <message>
   <source>Numbers of the red, green and blue band, from 1, such as 4 3 2. The first three when not given.</source>
   <translation>Nummern des roten, grünen und blauen Bandes, ab 1, wie 4 3 2. Ohne Angabe die ersten drei.</translation>
  </message>
  <message>
   <source>Of AETHER: text encoder that the weights were trained with, needed for search by text. Named as for training.</source>
   <translation>Bei AETHER: Text-Encoder, mit dem die Gewichte trainiert wurden, nötig für die Suche mit Text. Benannt wie beim Training.</translation>
  </message>
  <message>
   <source>Of ReFound: attention heads, which the weights do not tell; of width 64, as published, when not given.</source>
   <translation>Bei ReFound: Zahl der Aufmerksamkeitsköpfe, die die Gewichte nicht verraten; ohne Angabe von Breite 64, wie veröffentlicht.</translation>
  </message>
  <message>
   <source>Of ReFound: beginnings of the names of weights that are not wanted, such as heads of the pre-training.</source>
   <translation>Bei ReFound: Anfänge der Namen von Gewichten, die nicht gewünscht sind, wie Köpfe des Vortrainings.</translation>
  </message>
  <message>
   <source>Of ReFound: text file with the names of the categories, one a line, in the order of their numbers. Without it every category is unknown.</source>
   <translation>Bei ReFound: Textdatei mit den Namen der Kategorien, eine je Zeile, in der Reihenfolge ihrer Nummern. Ohne sie ist jede Kategorie unbekannt.</translation>
  </message>
  <message>
   <source>Of UrbanCLIP: open_clip's JSON file of the model, which tells the numbers of heads. One beside the weights is found; without any, heads are those of open_clip's own coca models.</source>
   <translation>Bei UrbanCLIP: die JSON-Datei des Modells von open_clip, die die Zahlen der Köpfe nennt. Eine neben den Gewichten wird gefunden; ohne sie gelten die der coca-Modelle von open_clip.</translation>
  </message>
  <message>
   <source>Of UrbanCLIP: words that guide a prediction when fine-tuning, such as 'The carbon emission is'.</source>
   <translation>Bei UrbanCLIP: Wörter, die eine Vorhersage beim Feinabstimmen leiten, wie 'The carbon emission is'.</translation>
  </message>
  <message>
   <source>Of all but AETHER: tokenizer that the weights were trained with, a Hugging Face folder or id. When not given, as published: bert-base-chinese of ReFound, CLIP's of UrbanCLIP, and of UrbanLN the CLIP's own.</source>
   <translation>Bei allen außer AETHER: Tokenizer, mit dem die Gewichte trainiert wurden, ein Hugging-Face-Ordner oder eine Kennung. Ohne Angabe wie veröffentlicht: bert-base-chinese bei ReFound, der von CLIP bei UrbanCLIP, und bei UrbanLN der des CLIP selbst.</translation>
  </message>
  <message>
   <source>Outlines of buildings or other places: a polygon layer. Shapes and areas are read, and the tags of OpenStreetMap; other columns are not.</source>
   <translation>Umrisse von Gebäuden oder anderen Orten: ein Polygonlayer. Gelesen werden Formen und Flächen und die Tags von OpenStreetMap, andere Spalten nicht.</translation>
  </message>
  <message>
   <source>PNG map to write: points coloured by the first three principal components.</source>
   <translation>PNG-Karte, die geschrieben wird: Punkte, gefärbt nach den ersten drei Hauptkomponenten.</translation>
  </message>
  <message>
   <source>PNG map to write: regions coloured by the first three principal components.</source>
   <translation>PNG-Karte, die geschrieben wird: Regionen, gefärbt nach den ersten drei Hauptkomponenten.</translation>
  </message>
  <message>
   <source>Passes over the labelled regions when fine-tuning.</source>
   <translation>Durchgänge durch die Regionen mit bekanntem Wert beim Feinabstimmen.</translation>
  </message>
  <message>
   <source>Passes over the samples. The preset's when not given.</source>
   <translation>Durchgänge durch die Beispiele. Ohne Angabe die der Voreinstellung.</translation>
  </message>
  <message>
   <source>Points of interest of the other city, to count as a floor. A point layer, or a CSV or Parquet table with longitude and latitude.</source>
   <translation>POIs der anderen Stadt, als Vergleichsmerkmal zu zählen. Ein Punktlayer, oder eine CSV- oder Parquet-Tabelle mit Länge und Breite.</translation>
  </message>
  <message>
   <source>Points that are looked at, as a layer of some of the points of interest: they are found again by place and name. In QGIS choose the same layer and 'selected features only', or a filter.</source>
   <translation>Punkte, die betrachtet werden, als Layer einiger der POIs: Sie werden nach Ort und Namen wiedergefunden. Wählen Sie in QGIS denselben Layer und 'nur gewählte Objekte', oder einen Filter.</translation>
  </message>
  <message>
   <source>Points whose attention is shown, of the kind that the model was trained on: a point layer, or a CSV or Parquet table with longitude and latitude. A polygon or line counts as a point inside it.</source>
   <translation>Punkte, deren Aufmerksamkeit gezeigt wird, von der Art, auf der das Modell trainiert wurde: ein Punktlayer, oder eine CSV- oder Parquet-Tabelle mit Länge und Breite. Ein Polygon oder eine Linie zählt als ein Punkt darin.</translation>
  </message>
  <message>
   <source>Polygons that the clusters are drawn on and described by. Without them, the layer of the embeddings.</source>
   <translation>Polygone, auf denen die Cluster gezeichnet und mit denen sie beschrieben werden. Ohne sie der Layer der Embeddings.</translation>
  </message>
  <message>
   <source>Polygons to predict for, whose fields hold the labels; regions without a label are predicted too. Without them, the layer of the embeddings.</source>
   <translation>Polygone, für die vorhergesagt wird und deren Felder die bekannten Werte enthalten; auch Regionen ohne Wert werden vorhergesagt. Ohne sie der Layer der Embeddings.</translation>
  </message>
  <message>
   <source>Polygons whose fields hold the labels. Without them, the layer of the first embeddings.</source>
   <translation>Polygone, deren Felder die bekannten Werte enthalten. Ohne sie der Layer der ersten Embeddings.</translation>
  </message>
  <message>
   <source>Predict a field for every region from its vector, with intervals.</source>
   <translation>Ein Feld für jede Region aus ihrem Vektor vorhersagen, mit Intervallen.</translation>
  </message>
  <message>
   <source>Predict how far a number lies from the mean of its city, in deviations of its city, and not the number itself: for labels whose level or unit differs between cities. Each city's own labels tell mean and deviation.</source>
   <translation>Vorhersagen, wie weit eine Zahl vom Mittel ihrer Stadt liegt, in Abweichungen ihrer Stadt, und nicht die Zahl selbst: für Zielgrößen, deren Höhe oder Einheit sich zwischen Städten unterscheidet. Mittel und Abweichung sagen die eigenen Werte jeder Stadt.</translation>
  </message>
  <message>
   <source>Published file: london_last.pth of AETHER, a .pdparams file of ReFound, or a file of weights of open_clip's CoCa for UrbanCLIP; for UrbanLN the folder or Hugging Face id of any CLIP.</source>
   <translation>Veröffentlichte Datei: london_last.pth von AETHER, eine .pdparams-Datei von ReFound, oder eine Gewichtsdatei von CoCa aus open_clip für UrbanCLIP; für UrbanLN der Ordner oder die Hugging-Face-Kennung eines beliebigen CLIP.</translation>
  </message>
  <message>
   <source>Rank regions or pixels by a phrase.</source>
   <translation>Regionen oder Pixel nach einem Suchtext ordnen.</translation>
  </message>
  <message>
   <source>Raster whose band means and deviations are one more floor.</source>
   <translation>Raster, dessen Mittel und Streuungen je Band ein weiteres Vergleichsmerkmal sind.</translation>
  </message>
  <message>
   <source>Raster whose bands describe each pixel: AlphaEarth's 64 bands, or any other number of bands, such as stacked satellite bands. GeoTIFF, COG or VRT in any coordinate reference system.</source>
   <translation>Raster, dessen Bänder jedes Pixel beschreiben: die 64 Bänder von AlphaEarth oder beliebig viele andere, wie gestapelte Satellitenbänder. GeoTIFF, COG oder VRT in beliebigem Koordinatenbezugssystem.</translation>
  </message>
  <message>
   <source>Raster with one band, such as inhabitants per pixel. Its sum over each region, pixels on the border by their share inside, is a label with the name of the file.</source>
   <translation>Raster mit einem Band, wie Einwohner je Pixel. Seine Summe über jede Region, Pixel am Rand mit ihrem Anteil darin, ist ein bekannter Wert mit dem Namen der Datei.</translation>
  </message>
  <message>
   <source>ReFound or UrbanCLIP to fine-tune; or one that was fine-tuned here, which predicts without learning.</source>
   <translation>ReFound oder UrbanCLIP zum Feinabstimmen; oder eines, das hier feinabgestimmt wurde und ohne Lernen vorhersagt.</translation>
  </message>
  <message>
   <source>Region embeddings that the checkpoint made, in any format that UrbanFM writes.</source>
   <translation>Embeddings der Regionen, die mit diesem Checkpoint berechnet wurden, in jedem Format, das UrbanFM schreibt.</translation>
  </message>
  <message>
   <source>Region polygons. Without them a grid is laid over the raster, or over the points.</source>
   <translation>Polygone der Regionen. Ohne sie wird ein Gitter über das Raster oder über die Punkte gelegt.</translation>
  </message>
  <message>
   <source>Regions shown in the report, drawn at random.</source>
   <translation>Regionen, die der Bericht zeigt, zufällig gezogen.</translation>
  </message>
  <message>
   <source>Rows of the points that are looked at, in their layer or table, counted from 0.</source>
   <translation>Zeilen der Punkte, die betrachtet werden, in ihrem Layer oder ihrer Tabelle, ab 0 gezählt.</translation>
  </message>
  <message>
   <source>Samples (when training) or pixels (when embedding) computed at once. The preset's, or 65536 pixels, when not given.</source>
   <translation>Beispiele (beim Training) oder Pixel (beim Einbetten), die auf einmal gerechnet werden. Ohne Angabe wie in der Voreinstellung, oder 65536 Pixel.</translation>
  </message>
  <message>
   <source>Satellite or aerial imagery that they look at: a raster with red, green and blue bands, in any coordinate reference system.</source>
   <translation>Luft- oder Satellitenbild, das sie ansehen: ein Raster mit rotem, grünem und blauem Band, in beliebigem Koordinatenbezugssystem.</translation>
  </message>
  <message>
   <source>Satellite or aerial imagery: a raster with red, green and blue bands, in any coordinate reference system.</source>
   <translation>Luft- oder Satellitenbild: ein Raster mit rotem, grünem und blauem Band, in beliebigem Koordinatenbezugssystem.</translation>
  </message>
  <message>
   <source>Say what a checkpoint is, what it needs and what it gives.</source>
   <translation>Sagen, was ein Checkpoint ist, was er braucht und was er liefert.</translation>
  </message>
  <message>
   <source>Say what embeddings know of a city, beside what anyone could know without them.</source>
   <translation>Sagen, was Embeddings von einer Stadt wissen, neben dem, was man auch ohne sie wissen könnte.</translation>
  </message>
  <message>
   <source>Several cities to learn from together, instead of the layers of one: a JSON file each, with the city's layers by the names of these parameters, such as pois, imagery and regions; paths are relative to the file.</source>
   <translation>Mehrere Städte, aus denen zusammen gelernt wird, statt der Layer von einer: je eine JSON-Datei mit den Layern der Stadt unter den Namen dieser Parameter, wie pois, imagery und regions; Pfade gelten ab der Datei.</translation>
  </message>
  <message>
   <source>Shape of the cells.</source>
   <translation>Form der Zellen.</translation>
  </message>
  <message>
   <source>Shape of the grid's cells.</source>
   <translation>Form der Gitterzellen.</translation>
  </message>
  <message>
   <source>Share of regions whose true value the interval is to contain.</source>
   <translation>Anteil der Regionen, deren wahrer Wert in ihrem Intervall liegen soll.</translation>
  </message>
  <message>
   <source>Shares of the labels that probes learn from, such as 1, 0.5 and 0.1; more than one give a curve. All labels are always scored.</source>
   <translation>Anteile der bekannten Werte, aus denen Prüfmodelle lernen, wie 1, 0.5 und 0.1; mehr als einer geben eine Kurve. Bewertet wird immer an allen.</translation>
  </message>
  <message>
   <source>Show where points of interest look in the imagery.</source>
   <translation>Zeigen, wohin POIs in den Bilddaten schauen.</translation>
  </message>
  <message>
   <source>Side of a pixel of the pictures from above; 0 shows each region whole.</source>
   <translation>Seite eines Pixels der Bilder von oben; 0 zeigt jede Region ganz.</translation>
  </message>
  <message>
   <source>Side of a square cell, or distance between the centres of two neighbouring hexagons.</source>
   <translation>Seite einer quadratischen Zelle, oder Abstand der Mitten zweier benachbarter Sechsecke.</translation>
  </message>
  <message>
   <source>Side of the pictures that are described.</source>
   <translation>Seite der Bilder, die beschrieben werden.</translation>
  </message>
  <message>
   <source>Side of the windows over imagery. As in training when not given.</source>
   <translation>Seite der Fenster über den Bilddaten. Ohne Angabe wie im Training.</translation>
  </message>
  <message>
   <source>Simple probes predict the targets from the vectors, for regions in blocks that they were not trained on. The same probes on the same folds get plain features, the floors: counts of points of interest, words of their names, raster bands, area, and the coordinates alone. An embedding that does not beat a floor is named. With the embeddings of another city, the probes are also scored there, without having seen it.</source>
   <translation>Einfache Prüfmodelle sagen die Zielgrößen aus den Vektoren vorher, für Regionen in Blöcken, aus denen sie nicht gelernt haben. Dieselben Prüfmodelle bekommen auf derselben Aufteilung einfache Vergleichsmerkmale: Zahlen von POIs, Wörter ihrer Namen, Rasterbänder, Fläche und nur die Koordinaten. Ein Embedding, das ein Vergleichsmerkmal nicht schlägt, wird genannt. Mit den Embeddings einer anderen Stadt werden die Prüfmodelle auch dort bewertet, ohne sie gesehen zu haben.</translation>
  </message>
  <message>
   <source>Start of all draws. The same seed gives the same clusters.</source>
   <translation>Anfang aller Ziehungen. Derselbe Startwert gibt dieselben Cluster.</translation>
  </message>
  <message>
   <source>Start of all random numbers. The same seed and inputs give the same weights on a CPU.</source>
   <translation>Anfang aller Zufallszahlen. Derselbe Startwert und dieselben Eingaben geben auf einer CPU dieselben Gewichte.</translation>
  </message>
  <message>
   <source>Start of all random numbers. The same seed gives the same folds and predictions.</source>
   <translation>Anfang aller Zufallszahlen. Derselbe Startwert gibt dieselbe Aufteilung und dieselben Vorhersagen.</translation>
  </message>
  <message>
   <source>Start of the draws: of the regions in the report, and of the interval.</source>
   <translation>Anfang der Ziehungen: der Regionen im Bericht und des Intervalls.</translation>
  </message>
  <message>
   <source>Step size of the optimiser when fine-tuning, for the head; each layer below takes three quarters of that of the one above.</source>
   <translation>Schrittweite des Optimierers beim Feinabstimmen, für den Kopf; jede Schicht darunter nimmt drei Viertel der darüber.</translation>
  </message>
  <message>
   <source>Step size of the optimiser. The preset's when not given.</source>
   <translation>Schrittweite des Optimierers. Ohne Angabe die der Voreinstellung.</translation>
  </message>
  <message>
   <source>Table to write, .parquet or .csv: what the language teacher was told of each region, to be read and corrected. An edited one is taken by the change to the preset language_teacher=table:FILE.</source>
   <translation>Tabelle, die geschrieben wird, .parquet oder .csv: was dem Sprachlehrer über jede Region gesagt wurde, zum Lesen und Verbessern. Eine bearbeitete wird durch die Änderung der Voreinstellung language_teacher=table:FILE genommen.</translation>
  </message>
  <message>
   <source>Table to write, .parquet, .arrow or .csv: id, score, rank, percentile and whether the region was chosen.</source>
   <translation>Zu schreibende Tabelle, .parquet, .arrow oder .csv: Kennung, Wert, Rang, Perzentil und ob die Region gewählt war.</translation>
  </message>
  <message>
   <source>Table with more labels, joined to the regions by id.</source>
   <translation>Tabelle mit weiteren bekannten Werten, über die Kennung mit den Regionen verbunden.</translation>
  </message>
  <message>
   <source>Task of the targets that do not name their own. 'auto': numbers are regression, two values binary, texts multi-class, several columns shares of a whole.</source>
   <translation>Aufgabe der Zielgrößen, die ihre eigene nicht nennen. 'auto': Zahlen sind Regression, zwei Werte binär, Texte mehrere Klassen, mehrere Spalten Anteile eines Ganzen.</translation>
  </message>
  <message>
   <source>Text encoder that the model was trained with, if the checkpoint does not name one, or names a service on the network, which is used only when it is named here.</source>
   <translation>Text-Encoder, mit dem das Modell trainiert wurde, wenn der Checkpoint keinen nennt oder einen Dienst im Netz nennt, der nur genutzt wird, wenn er hier genannt ist.</translation>
  </message>
  <message>
   <source>Text file with the words in which a captioner is asked. Those of resources/prompts when not given.</source>
   <translation>Textdatei mit den Worten, in denen ein Beschreibungsmodell gefragt wird. Ohne Angabe die aus resources/prompts.</translation>
  </message>
  <message>
   <source>Texts that are followed side by side while a checkpoint writes; 1 takes the likeliest word each time.</source>
   <translation>Texte, die nebeneinander verfolgt werden, während ein Checkpoint schreibt; 1 nimmt jedes Mal das wahrscheinlichste Wort.</translation>
  </message>
  <message>
   <source>The chosen regions as a layer: in QGIS the layer of the embeddings with 'selected features only', or drawn polygons, which choose the regions with their middle inside.</source>
   <translation>Die gewählten Regionen als Layer: in QGIS der Layer der Embeddings mit 'nur gewählte Objekte', oder gezeichnete Polygone, die die Regionen wählen, deren Mitte in ihnen liegt.</translation>
  </message>
  <message>
   <source>The grid is laid out in metres: in the coordinate reference system of the area if that is in metres, else in its UTM zone. Cells that do not touch the area are left out.</source>
   <translation>Das Gitter wird in Metern angelegt: im Koordinatenbezugssystem der Fläche, wenn das in Metern ist, sonst in ihrer UTM-Zone. Zellen, die die Fläche nicht berühren, werden ausgelassen.</translation>
  </message>
  <message>
   <source>The phrase goes through the text side of the model; the score is the cosine between it and each vector.</source>
   <translation>Der Suchtext geht durch die Textseite des Modells; der Wert ist der Kosinus zwischen ihm und jedem Vektor.</translation>
  </message>
  <message>
   <source>The score of a region is the cosine between its vector and the mean of the chosen ones, the most typical of them, or the nearest of them. All regions are scored, exactly; a table of a million vectors need not fit in memory.</source>
   <translation>Der Wert einer Region ist der Kosinus zwischen ihrem Vektor und dem Mittel der gewählten, der typischsten von ihnen oder der nächsten von ihnen. Alle Regionen werden bewertet, und zwar genau; eine Tabelle von einer Million Vektoren muss nicht in den Speicher passen.</translation>
  </message>
  <message>
   <source>The words come from a trained model that writes captions, from a captioner, or from captions that exist; of several captions of a region the consensus is taken where the file marks it, else the first.</source>
   <translation>Die Worte kommen von einem trainierten Modell, das Beschreibungen schreibt, von einem Beschreibungsmodell oder aus vorhandenen Beschreibungen; von mehreren einer Region wird die Übereinkunft genommen, wo die Datei sie kennzeichnet, sonst die erste.</translation>
  </message>
  <message>
   <source>Train a method on the layers of a city, or of several.</source>
   <translation>Eine Methode auf den Layern einer Stadt oder mehrerer trainieren.</translation>
  </message>
  <message>
   <source>Trained model of UrbanMFM or AETHER.</source>
   <translation>Trainiertes Modell von UrbanMFM oder AETHER.</translation>
  </message>
  <message>
   <source>Trained model that can embed pixels of an embedding raster, or windows of imagery.</source>
   <translation>Trainiertes Modell, das Pixel eines Embedding-Rasters oder Fenster von Bilddaten einbetten kann.</translation>
  </message>
  <message>
   <source>Trained model that writes captions of imagery: UrbanCLIP.</source>
   <translation>Trainiertes Modell, das Beschreibungen von Bilddaten schreibt: UrbanCLIP.</translation>
  </message>
  <message>
   <source>Trained model with a text side; the one that made the embeddings.</source>
   <translation>Trainiertes Modell mit einer Textseite; das, von dem die Embeddings stammen.</translation>
  </message>
  <message>
   <source>Trained model with attention between points and imagery: one of ReFound.</source>
   <translation>Trainiertes Modell mit Aufmerksamkeit zwischen Punkten und Bildern: eines von ReFound.</translation>
  </message>
  <message>
   <source>Trained model. Without it, the preset is trained first, which needs points of interest.</source>
   <translation>Trainiertes Modell. Ohne es wird zuerst die Voreinstellung trainiert, was POIs braucht.</translation>
  </message>
  <message>
   <source>Turn published weights into a checkpoint.</source>
   <translation>Veröffentlichte Gewichte in einen Checkpoint umwandeln.</translation>
  </message>
  <message>
   <source>Vectors of the regions to choose from: embeddings of UrbanFM, or any table with an id and columns of numbers.</source>
   <translation>Vektoren der Regionen, aus denen gewählt wird: Embeddings von UrbanFM, oder eine Tabelle mit einer Kennung und Zahlenspalten.</translation>
  </message>
  <message>
   <source>What is done to the vectors first: 'none', as embeddings need; 'unit' makes them equally long; 'standard' gives each dimension the same spread, for tables of other numbers.</source>
   <translation>Was zuerst mit den Vektoren geschieht: 'none', wie es Embeddings brauchen; 'unit' macht sie gleich lang; 'standard' gibt jeder Dimension dieselbe Streuung, für Tabellen anderer Zahlen.</translation>
  </message>
  <message>
   <source>What is held out: whole blocks of neighbouring regions, or single regions at random as in many papers, which flatters, since neighbours are alike.</source>
   <translation>Was zurückgehalten wird: ganze Blöcke benachbarter Regionen, oder einzelne zufällige Regionen wie in vielen Artikeln, was schmeichelt, weil sich Nachbarn gleichen.</translation>
  </message>
  <message>
   <source>What learns when fine-tuning: the 'head' alone, 'all' of the network, or as in the method's paper: all of ReFound, the predictor alone of UrbanCLIP.</source>
   <translation>Was beim Feinabstimmen lernt: nur der Kopf ('head'), das ganze Netz ('all'), oder wie im Artikel der Methode: ganz ReFound, bei UrbanCLIP nur der Vorhersagekopf.</translation>
  </message>
  <message>
   <source>What learns: 'linear' (ridge, logistic or softmax regression), 'mlp' (six networks of two layers, whose mean counts), or 'finetune' (a trained ReFound or UrbanCLIP goes on learning, which takes its checkpoint and layers, and time).</source>
   <translation>Was lernt: 'linear' (Ridge-, logistische oder Softmax-Regression), 'mlp' (sechs Netze aus zwei Schichten, deren Mittel gilt) oder 'finetune' (ein trainiertes ReFound oder UrbanCLIP lernt weiter, was dessen Checkpoint und Layer braucht, und Zeit).</translation>
  </message>
  <message>
   <source>What receives an embedding each: a layer of points, or of polygons such as buildings, or a CSV or Parquet table with longitude and latitude.</source>
   <translation>Was je ein Embedding bekommt: ein Layer von Punkten, oder von Polygonen wie Gebäuden, oder eine CSV- oder Parquet-Tabelle mit Länge und Breite.</translation>
  </message>
  <message>
   <source>What regions are compared with: the 'mean' of the chosen ones, their 'medoid' (the one most like the others), or the nearest of them ('max').</source>
   <translation>Womit Regionen verglichen werden: mit dem Mittel der gewählten ('mean'), ihrem Medoid ('medoid', der den anderen am ähnlichsten ist) oder der nächsten von ihnen ('max').</translation>
  </message>
  <message>
   <source>What to cluster: embeddings of UrbanFM, or any table with an id and columns of numbers.</source>
   <translation>Was gruppiert wird: Embeddings von UrbanFM, oder eine Tabelle mit einer Kennung und Zahlenspalten.</translation>
  </message>
  <message>
   <source>What to look for, in words, such as: quiet streets near a park.</source>
   <translation>Wonach gesucht wird, in Worten, wie: quiet streets near a park.</translation>
  </message>
  <message>
   <source>What to predict from: embeddings of UrbanFM, or any table with an id and columns of numbers. Not needed to fine-tune.</source>
   <translation>Woraus vorhergesagt wird: Embeddings von UrbanFM, oder eine Tabelle mit einer Kennung und Zahlenspalten. Zum Feinabstimmen nicht nötig.</translation>
  </message>
  <message>
   <source>What to predict, separated by commas: a column (price), its logarithm (log:price), a density (log:population/km2), a column with its task (zone:multiclass), or shares of a whole (occ_*, or a+b+c).</source>
   <translation>Was vorhergesagt wird, durch Kommas getrennt: eine Spalte (price), ihr Logarithmus (log:price), eine Dichte (log:population/km2), eine Spalte mit ihrer Aufgabe (zone:multiclass) oder Anteile eines Ganzen (occ_*, oder a+b+c).</translation>
  </message>
  <message>
   <source>What to predict: a field (price), its logarithm (log:price), a density (log:population/km2), a field with its task (zone:multiclass), or shares of a whole (occ_*, or a+b+c). A fine-tuned model knows it by itself.</source>
   <translation>Was vorhergesagt wird: ein Feld (price), sein Logarithmus (log:price), eine Dichte (log:population/km2), ein Feld mit seiner Aufgabe (zone:multiclass) oder Anteile eines Ganzen (occ_*, oder a+b+c). Ein feinabgestimmtes Modell weiß es selbst.</translation>
  </message>
  <message>
   <source>What turns POI texts into vectors: 'minilm' (comes with urbanfm[text]), a Hugging Face id or folder, or 'openai:MODEL@URL' for an OpenAI-compatible endpoint (key from the environment variable OPENAI_API_KEY); ?dimensions=384&amp;price=0.13 may follow, the price of a million tokens for the estimate that is said first.</source>
   <translation>Was Texte von POIs in Vektoren verwandelt: 'minilm' (kommt mit urbanfm[text]), eine Hugging-Face-Kennung oder ein Ordner, oder 'openai:MODEL@URL' für einen OpenAI-kompatiblen Dienst (Schlüssel aus der Umgebungsvariable OPENAI_API_KEY); ?dimensions=384&amp;price=0.13 kann folgen, der Preis für eine Million Token für die Schätzung, die zuerst gesagt wird.</translation>
  </message>
  <message>
   <source>Where to compute: auto, cpu, cuda, cuda:1 or mps. 'auto' takes a GPU if there is one.</source>
   <translation>Wo gerechnet wird: auto, cpu, cuda, cuda:1 oder mps. 'auto' nimmt eine GPU, wenn es eine gibt.</translation>
  </message>
  <message>
   <source>Where to keep the checkpoint that was trained because none was given.</source>
   <translation>Wo der Checkpoint bleibt, der trainiert wurde, weil keiner angegeben war.</translation>
  </message>
  <message>
   <source>Where to keep the model that was fine-tuned on all labelled regions, to predict elsewhere.</source>
   <translation>Wo das Modell bleibt, das auf allen Regionen mit bekanntem Wert feinabgestimmt wurde, um anderswo vorherzusagen.</translation>
  </message>
  <message>
   <source>Whether clusters are connected on the map, as districts are: neighbouring regions are merged by Ward's method instead of k-means. Islands count as neighbours of what is nearest.</source>
   <translation>Ob Cluster auf der Karte zusammenhängen wie Stadtteile: Benachbarte Regionen werden nach Ward verschmolzen statt durch K-Means geteilt. Inseln gelten als Nachbarn dessen, was am nächsten liegt.</translation>
  </message>
  <message>
   <source>Which pixels belong to a region: those whose centre lies inside, or all that it touches, weighted by the share inside. Take 'coverage' when regions are hardly larger than pixels.</source>
   <translation>Welche Pixel zu einer Region gehören: die, deren Mitte in ihr liegt, oder alle, die sie berührt, gewichtet mit dem Anteil in ihr. Nehmen Sie 'coverage', wenn Regionen kaum größer als Pixel sind.</translation>
  </message>
  <message>
   <source>Which probes: linear (ridge, logistic, softmax), a network of two layers, or both, of which the better counts.</source>
   <translation>Welche Prüfmodelle: linear (Ridge, logistisch, Softmax), ein Netz aus zwei Schichten, oder beide, von denen das bessere zählt.</translation>
  </message>
  <message>
   <source>With a checkpoint it embeds. Without one it first trains the preset on the same layers and keeps that checkpoint.</source>
   <translation>Mit einem Checkpoint wird eingebettet. Ohne einen wird zuerst die Voreinstellung auf denselben Layern trainiert und dieser Checkpoint behalten.</translation>
  </message>
  <message>
   <source>With a model of UrbanMFM a place is what its tags, its outline and the street views around it say, seen with the places around it; with one of AETHER, what its text says and what surrounds it in the embedding raster. The result is like that of regions: clusters, similar places and predictions, such as what a building is for, are made from it in the same way. Where the points of interest are polygons, such as buildings, the result has the polygons.</source>
   <translation>Bei einem Modell von UrbanMFM ist ein Ort das, was seine Tags, sein Umriss und die Straßenbilder um ihn sagen, zusammen mit den Orten in seiner Umgebung; bei einem von AETHER das, was sein Text sagt und was ihn im Embedding-Raster umgibt. Das Ergebnis ist wie das der Regionen: Cluster, ähnliche Orte und Vorhersagen, etwa wofür ein Gebäude da ist, entstehen daraus auf gleiche Weise. Sind die Points of Interest Polygone, wie Gebäude, so hat das Ergebnis diese Polygone.</translation>
  </message>
  <message>
   <source>Write a Cloud-Optimized GeoTIFF, with overviews and in the order that suits reading over a network. Takes twice the time of writing.</source>
   <translation>Ein Cloud-Optimized GeoTIFF schreiben, mit Übersichten und in der Reihenfolge, die für das Lesen über ein Netz taugt. Das Schreiben dauert doppelt so lang.</translation>
  </message>
  <message>
   <source>Writes a checkpoint: a folder with weights, configuration, preprocessing, metrics and a loss curve. A run that was stopped continues where it was when started again with the same inputs and parameters.</source>
   <translation>Schreibt einen Checkpoint: einen Ordner mit Gewichten, Konfiguration, Vorverarbeitung, Maßen und einer Verlustkurve. Ein angehaltener Lauf geht weiter, wo er war, wenn er mit denselben Eingaben und Parametern wieder gestartet wird.</translation>
  </message>
  <message>
   <source>Writes a raster with one band per dimension, north up. A model of pixels writes it on the grid of the embedding raster; pixels without data stay without. A model of pictures looks at windows of the size that it was trained on, one a pixel of the output, and blends them where they overlap; a window that is mostly without data has no vector.</source>
   <translation>Schreibt ein Raster mit einem Band je Dimension, Norden oben. Ein Pixelmodell schreibt es auf dem Gitter des Embedding-Rasters; Pixel ohne Daten bleiben ohne. Ein Bildmodell schaut auf Fenster der Größe, auf der es trainiert wurde, eines je Pixel der Ausgabe, und mischt sie, wo sie sich überlappen; ein Fenster, das überwiegend ohne Daten ist, hat keinen Vektor.</translation>
  </message>
 </context>
</TS>
