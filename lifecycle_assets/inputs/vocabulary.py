"""What exports call their tables and columns: the usual words in English, Spanish, Portuguese, German and French.

Words stand here as `folded` leaves them: letters and digits in lower case, without accents.
"""

import unicodedata


def folded(name: str) -> str:
    """A name without what exports differ in: case, accents, spaces and signs."""
    return "".join(c for c in unicodedata.normalize("NFKD", name) if c.isalnum()).lower()


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


COLUMNS: dict[str, tuple[str, ...]] = {
    "order_id": _words(
        "order orderid ordernumber orderno invoice invoiceno invoicenumber invoiceid basketid transactionid "
        "receipt receiptid ticket pedido idpedido pedidoid numeropedido numerodepedido factura numerofactura "
        "fatura numerodopedido ordernr codigopedido nopedido npedido nodopedido nofactura ordernum "
        "bestellnummer bestellnr bestellid bestellung auftragsnummer auftragsnr auftrag rechnungsnummer "
        "rechnungsnr belegnummer belegnr commande numerocommande numerodecommande ncommande nocommande "
        "ndecommande nodecommande idcommande commandeid referencecommande facture numerofacture "
        "numerodefacture nfacture nofacture"
    ),
    "customer_id": _words(
        "customer customerid customerno customernumber client clientid userid user buyerid memberid "
        "householdid codcliente codigodecliente cliente idcliente clienteid codigocliente numerocliente "
        "comprador kunde kundennummer kundennr kundenid kundenkennung kaufer kaeufer idclient numeroclient "
        "nclient noclient codeclient acheteur"
    ),
    "shipped_at": _words(
        "shippedat shipdate shippingdate dispatchedat dispatchdate fulfilledat fechaenvio fechadeenvio enviadoel "
        "dataenvio datadeenvio enviadoem versanddatum versandtam dateexpedition datedexpedition dateenvoi datedenvoi"
    ),
    "ordered_at": _words(
        "orderdate orderedat date datetime createdat created purchasedate invoicedate timestamp "
        "transactiondate orderdatetime purchasedat fecha fechapedido fechadepedido fechadecompra fechacompra "
        "data datapedido datadopedido datacompra datadacompra fechahora datahora datum bestelldatum kaufdatum "
        "auftragsdatum rechnungsdatum belegdatum bestelltam zeitstempel datecommande datedecommande dateachat "
        "datedachat datefacture datedefacture datevente datedevente dateheure horodatage"
    ),
    "product_id": _words(
        "product productid sku stockcode itemid item articleid productcode upc ean producto idproducto "
        "productoid codigoproducto articulo referencia produto idproduto codigoproduto artikel artikelnummer "
        "artikelnr artikelid produkt produktnummer produktnr produktid article produit idproduit produitid "
        "codeproduit codearticle idarticle refproduit refarticle referenceproduit referencearticle reference"
    ),
    "quantity": _words(
        "qty quantity units count cantidad unidades uds ud quantidade qtd qtde menge anzahl stuck stueck stuckzahl "
        "stueckzahl bestellmenge quantite qte quantitecommandee"
    ),
    "unit_price": _words(
        "price unitprice itemprice priceperunit precio preciounitario preciounidad preco precounitario "
        "valorunitario pvp preis stuckpreis stueckpreis einzelpreis verkaufspreis artikelpreis prix "
        "prixunitaire prixunitairettc prixunitaireht prixdevente prixvente pu"
    ),
    "price": _words(
        "unitprice listprice precio preciounitario preco precounitario pvp preis stuckpreis stueckpreis "
        "einzelpreis verkaufspreis listenpreis prix prixunitaire prixdevente prixvente prixttc prixpublic"
    ),
    "discount_amount": _words(
        "discount discountamount linediscount descuento dto dcto desconto rabatt rabattbetrag nachlass preisnachlass "
        "remise montantremise montantdelaremise rabais reduction"
    ),
    "unit_cost": _words(
        "cost unitcost cogs coste costo custo costeunitario costounitario custounitario einkaufspreis "
        "einstandspreis stuckkosten stueckkosten selbstkosten kosten cout coutunitaire prixachat prixdachat "
        "prixderevient"
    ),
    "category": _words(
        "category productcategory department categoria departamento familia kategorie produktkategorie "
        "warengruppe abteilung categorie categorieproduit rayon famille"
    ),
    "status": _words(
        "status orderstatus state estado situacao estadopedido bestellstatus auftragsstatus zustand statut "
        "statutcommande statutdelacommande etat etatcommande"
    ),
    "sales_channel": _words(
        "channel saleschannel source canal canalventa canaldeventa canaldevenda kanal verkaufskanal "
        "vertriebskanal canaldevente canalvente"
    ),
    "country": _words(
        "country countrycode shippingcountry pais land lieferland rechnungsland landercode laendercode pays "
        "codepays paysdelivraison"
    ),
    "currency": _words("currency currencycode moneda divisa moeda wahrung waehrung devise monnaie"),
    "coupon_code": _words(
        "coupon couponcode discountcode promocode cupon cupom gutschein gutscheincode rabattcode aktionscode "
        "codepromo codepromotionnel codereduction bondereduction"
    ),
    "line_id": _words(
        "lineid orderlineid orderitemid lineitemid idlinea idlinha positionsid zeilenid bestellpositionsid "
        "idligne idlignecommande"
    ),
    "email": _words(
        "email emailaddress mail correo correoelectronico emailadresse mailadresse adresseemail adressemail courriel"
    ),
    "phone": _words(
        "phone phonenumber mobile telefono movil telefone celular telefon telefonnummer handy handynummer "
        "mobilnummer telephone numerotelephone numerodetelephone portable"
    ),
    "consent_email": _words(
        "acceptsmarketing marketingoptin emailoptin optin newsletter aceptapublicidad aceptamarketing boletin "
        "aceitamarketing werbeeinwilligung newsletteranmeldung accepteemails optinemail"
    ),
    "locale": _words("language lang idioma lengua lingua sprache langue"),
    "channel": _words("canal kanal"),
    "reason": _words("motivo razon motif grund"),
    "since": _words("desde depuis seit"),
    "first_name": _words("firstname givenname nombre nome primeironome vorname prenom"),
    "birth_date": _words(
        "birthdate birthday dateofbirth dob fechanacimiento fechadenacimiento datanascimento geburtsdatum "
        "geburtstag datenaissance datedenaissance"
    ),
    "created_at": _words(
        "createdat signupdate registeredat fechaalta fechadealta fechaderegistro datacadastro erstelltam angelegtam "
        "registriertam registrierungsdatum kundeseit datecreation datedecreation dateinscription "
        "datedinscription"
    ),
    "name": _words(
        "name title productname description nombre nome descripcion descricao bezeichnung artikelname "
        "artikelbezeichnung produktname produktbezeichnung beschreibung nom nomproduit nomduproduit "
        "designation libelle"
    ),
    "brand": _words("brand vendor marca marke hersteller marque fabricant"),
    "inventory_level": _words(
        "stock inventory onhand existencias estoque bestand lagerbestand lager stockdisponible quantiteenstock"
    ),
}
TOTALS = _words(
    "total amount linetotal ordertotal revenue sales totalprice importe monto valor valortotal "
    "summe gesamt gesamtsumme gesamtpreis gesamtbetrag betrag umsatz montant montanttotal prixtotal totalttc totalht"
)
TABLES: dict[str, tuple[str, ...]] = {
    "order_lines": _words(
        "orderlines orders orderitems lineitems sales transactions invoices pedidos ventas vendas facturas "
        "bestellungen bestellpositionen auftrage auftraege verkaufe verkaeufe rechnungen commandes lignesdecommande ventes "
        "factures"
    ),
    "suppressions": _words("suppressions suppressionlist unsubscribes optouts bajas exclusiones robinson sperrliste"),
    "customers": _words("customers clients users members clientes usuarios kunden kundenliste"),
    "products": _words(
        "products items catalog catalogue productos produtos articulos catalogo artikel produkte katalog produits articles"
    ),
}
